# SPDX-License-Identifier: LGPL-2.1-or-later
"""Rules for what a kernel that was started by kexec was handed: is it what it shows now?"""

from collections.abc import Iterator

from ..finding import Detail, Severity
from ..image import ImageError, compose, sha256
from ..receipt import Receipt, Unusable
from ..snapshot import Snapshot
from .rule import Hit, Rule
from .survey import Survey


def _handed_over_otherwise(survey: Survey) -> Iterator[Hit]:
    """This kernel was itself started by kexec, and what it was handed is not what it shows now. The
    loader that started it told it something else than the firmware's tables say.
    """
    if survey.snapshot.efi is None:
        return
    for handed in survey.snapshot.handed_efi:
        if handed is None:
            yield Hit("The SETUP_EFI node that this kernel was handed is damaged.")
            continue
        for name, was, shown in (
            ("fw_vendor", handed.fw_vendor, survey.snapshot.efi.fw_vendor),
            ("config_table", handed.tables, survey.snapshot.efi.config_table),
        ):
            if shown is not None and was != shown:
                yield Hit(
                    f"This kernel was handed another {name} than it shows.",
                    {"table": name, "handed": was, "shown": shown},
                )


def _receipt_differs(survey: Survey) -> Iterator[Hit]:
    """The receipt that came with this kernel names another image, or another number of regions,
    than this kernel shows. Something was lost or changed on the way, or the loader wrote what it
    did not hand over, or the daemon here makes images in another way than the one before it.
    """
    receipt = survey.snapshot.receipt
    if not isinstance(receipt, Receipt):
        return
    handed_efi = bool(survey.snapshot.handed_efi)
    if handed_efi != bool(receipt.sha256):
        told, was = ("EFI", "none") if receipt.sha256 else ("no EFI", "some")
        yield Hit(f"The receipt tells of {told}, and this kernel was handed {was}.")
        return
    snapshot = survey.snapshot
    if not handed_efi or snapshot.runtime_map is None:
        return
    yield from _another_image(snapshot, "The receipt", "receipt", receipt)
    for count, does in (
        (len(snapshot.runtime_regions), "shows"),
        (snapshot.handed_regions, "was handed"),
    ):
        if count not in (None, receipt.region_count):
            yield Hit(
                f"The receipt names another number of regions than this kernel {does}.",
                {"receipt-count": receipt.region_count, "count": int(count or 0)},
            )


def _another_image(snapshot: Snapshot, what: str, name: str, told: Receipt) -> Iterator[Hit]:
    """Where the image that was told of is not the one that this kernel shows."""
    shown = _own_sha256(snapshot)
    if shown not in (None, told.sha256):
        digests: dict[str, Detail] = {f"{name}-sha256": told.sha256, "sha256": str(shown)}
        yield Hit(f"{what} names another image than this kernel shows.", digests)


def _own_sha256(snapshot: Snapshot) -> str | None:
    try:
        return sha256(compose(snapshot).pack())
    except ImageError:
        return None  # other rules say why


def _receipt_unusable(survey: Survey) -> Iterator[Hit]:
    """The receipt that came with this kernel cannot be used, so it is not known what was handed
    over and how many kexecs there were, but for what systemd may have kept. A loader wrote it
    wrong, or its memory was overwritten.
    """
    receipt = survey.snapshot.receipt
    if isinstance(receipt, Unusable) and not receipt.foreign:
        yield Hit(f"The receipt that came with this kernel cannot be used: {receipt.problem}.")


def _receipt_foreign(survey: Survey) -> Iterator[Hit]:
    """The receipt that came with this kernel is of a format that this version does not know: a
    newer loader wrote it. What was handed over is not compared, and kexecs are not counted on, but
    by what systemd may have kept.
    """
    receipt = survey.snapshot.receipt
    if isinstance(receipt, Unusable) and receipt.foreign:
        yield Hit(f"The receipt that came with this kernel cannot be used: {receipt.problem}.")


_KEEPSAKE = "What systemd kept of the kernel before"


def _keepsake_differs(survey: Survey) -> Iterator[Hit]:
    """What the daemon of the kernel before had systemd keep does not fit what this kernel shows, or
    does not fit the receipt, which counts where both came along. Something was lost or changed on
    the way, the kernel packed EFI in another way than its daemon, as under efi=debug, or what
    was kept is not that kernel's.
    """
    snapshot, kept = survey.snapshot, survey.snapshot.kept
    if not isinstance(kept, Receipt):
        return
    if snapshot.started_by_boot_loader:
        yield Hit("A boot loader started this kernel, and systemd kept something all the same.")
    elif isinstance(snapshot.receipt, Receipt):
        yield from _apart(snapshot.receipt, kept)
    elif kept.sha256 and not snapshot.handed_efi:
        yield Hit(f"{_KEEPSAKE} tells of EFI, and this kernel was handed none.")
    elif kept.sha256:
        # Not its count of regions: the kernel, which packed them, may have split one.
        yield from _another_image(snapshot, _KEEPSAKE, "kept", kept)


def _apart(receipt: Receipt, kept: Receipt) -> Iterator[Hit]:
    """Where two that tell of the same kexec do not say the same."""
    for name, words in (
        ("from-boot-id", "another boot"),
        ("kexec-count", "another number of kexecs"),
        ("sha256", "another image"),
    ):
        one, other = receipt.members().get(name), kept.members().get(name)
        if one and other and one != other:
            details: dict[str, Detail] = {"receipt": str(one), "kept": str(other)}
            yield Hit(f"{_KEEPSAKE} names {words} than the receipt.", details)


def _keepsake_unusable(survey: Survey) -> Iterator[Hit]:
    """What systemd kept for the daemon cannot be used: it is damaged, not sealed, too long, or of
    another version. It is left aside, and another is kept in its place.
    """
    kept = survey.snapshot.kept
    if isinstance(kept, Unusable):
        yield Hit(f"What systemd kept for the daemon cannot be used: {kept.problem}.")


RULES: tuple[Rule, ...] = (
    Rule(
        "handed-over-otherwise",
        Severity.WARNING,
        "Look at the loader that started this kernel; a cold boot puts it right.",
        _handed_over_otherwise,
    ),
    Rule(
        "receipt-differs",
        Severity.WARNING,
        "Look at the loader that the receipt names; a cold boot puts it right.",
        _receipt_differs,
    ),
    Rule(
        "receipt-unusable",
        Severity.WARNING,
        "Look at the loader that started this kernel; a cold boot puts it right.",
        _receipt_unusable,
    ),
    Rule(
        "receipt-foreign",
        Severity.INFO,
        "Install the version of kexecprepd that the kernel before had.",
        _receipt_foreign,
    ),
    Rule(
        "keepsake-differs",
        Severity.WARNING,
        "Look at the journal of the boot before; a cold boot puts it right.",
        _keepsake_differs,
    ),
    Rule(
        "keepsake-unusable",
        Severity.INFO,
        "Nothing has to be done; the next kernel finds a new one.",
        _keepsake_unusable,
    ),
)
