# SPDX-License-Identifier: LGPL-2.1-or-later
"""The keepsake: what a daemon has systemd keep, and what the next kernel's daemon makes of it."""

import json
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from kexecprepd.core.facilities import FACILITIES
from kexecprepd.core.finding import Finding, Severity, State
from kexecprepd.core.generation import changed, parts_of
from kexecprepd.core.keepsake import LIMIT, Keepsake, parse, the_one
from kexecprepd.core.origin import StartedBy
from kexecprepd.core.receipt import LIMIT as RECEIPT_LIMIT
from kexecprepd.core.receipt import MOST_KEXECS, Receipt, Unusable
from kexecprepd.core.rules import validate
from kexecprepd.core.snapshot import Snapshot
from kexecprepd.core.verdict import assess
from kexecprepd.reading.kernel import read_origin
from tests.support.keepsakes import BEFORE, OWN
from tests.support.made_up import EXAMPLES, spoilt
from tests.support.receipts import FROM, add_receipt, members
from tests.support.recordings import (
    BOOT_PARAMS,
    FIRST_KERNEL,
    KEXEC_FILE,
    KEXEC_SYSCALL,
    SETUP_DATA,
    materialise,
    patch,
    remove,
)
from tests.support.snapshots import read_snapshot

WHOLE: dict[str, Any] = json.loads(Keepsake(OWN, BEFORE).pack())


def test_a_keepsake_is_read_as_it_was_written() -> None:
    for before in (BEFORE, None):
        assert parse(Keepsake(OWN, before).pack()) == Keepsake(OWN, before)


def test_what_systemd_kept_is_told_as_that_whatever_it_says_itself() -> None:
    said = {name: value for name, value in WHOLE.items() if name != "kept"}

    assert parse(json.dumps({**said, "before": {**BEFORE.members(), "kept": False}}).encode()) == (
        Keepsake(OWN, BEFORE)
    )


def test_any_reader_of_receipts_can_read_it() -> None:
    assert {name: WHOLE[name] for name in ("format", "from-boot-id", "sha256", "kept")} == {
        "format": 1,
        "from-boot-id": FROM,
        "sha256": "ab" * 32,
        "kept": True,
    }


def test_the_longest_one_is_within_the_limit() -> None:
    longest = replace(
        OWN,
        region_count=(1 << 32) - 1,
        loader="x" * 64,
        loaded_at=(1 << 63) - 1,
        kexec_count=(1 << 32) - 1,
        generation=(1 << 63) - 1,
        had=tuple(FACILITIES),
    )

    assert len(Keepsake(longest, longest).pack()) < LIMIT


def test_of_this_boot_it_is_our_own_and_of_another_the_last_kernels() -> None:
    assert Keepsake(OWN, BEFORE).for_boot(FROM) == BEFORE
    assert Keepsake(OWN, None).for_boot(FROM) is None
    assert Keepsake(OWN, BEFORE).for_boot("another") == OWN


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        (None, "longer than 8192 bytes"),
        (b" " * 8193, "longer than 8192 bytes"),
        (b"", "not JSON"),
        (json.dumps(WHOLE).encode()[:-1], "not JSON"),
        (b"[]", "no JSON object"),
        (b"{}", "no format"),
        (json.dumps({**WHOLE, "format": 2}).encode(), "another format"),
        (json.dumps({**WHOLE, "kept": 1}).encode(), "kept"),
        (json.dumps({**WHOLE, "sha256": "x"}).encode(), "sha256"),
        (json.dumps({**WHOLE, "before": []}).encode(), "before"),
        (json.dumps({**WHOLE, "before": {**WHOLE, "loader": "\x1b"}}).encode(), "loader"),
        (json.dumps({**WHOLE, "before": OWN.members()}).encode(), "before itself"),
        (json.dumps({**WHOLE, "had": ["x" * 32] * 120}).encode(), "longer than 4096 bytes"),
    ],
)
def test_damage_ends_in_words(payload: bytes | None, words: str) -> None:
    found = parse(payload)

    assert isinstance(found, Unusable)
    assert words in found.problem


def test_a_receipt_that_is_as_long_as_can_be_is_read_again_as_what_was_before() -> None:
    names: list[str] = []
    longest = OWN
    while len(Keepsake(longest, None).pack()) <= RECEIPT_LIMIT - 45:
        names.append("x" * 32)
        longest = replace(OWN, had=tuple(names))

    found = parse(Keepsake(longest, None).pack())

    assert isinstance(found, Keepsake)
    ours = Keepsake(BEFORE, found.own)
    assert parse(ours.pack()) == ours


def test_one_that_is_as_long_as_can_be_is_read() -> None:
    whole = json.dumps(WHOLE).encode()

    assert parse(whole.ljust(LIMIT)) == parse(whole)


LATER = replace(OWN, loaded_at=OWN.loaded_at + 9)
FOREIGN = Keepsake(replace(LATER, kexec_count=9), None)


@pytest.mark.parametrize(
    ("found", "right"),
    [
        ((), None),
        ((Unusable("it is not JSON"),), Unusable("it is not JSON")),
        ((Unusable("it is not JSON"), FOREIGN), FOREIGN),
        ((FOREIGN, Keepsake(BEFORE, None)), Keepsake(BEFORE, None)),
        ((Keepsake(OWN, None), Keepsake(replace(LATER, kexec_count=1), None)), 0),
        ((Keepsake(OWN, None), Keepsake(replace(OWN, kexec_count=None), None)), 0),
        ((Keepsake(OWN, None), Keepsake(replace(OWN, loaded_at=1), None)), 0),
    ],
    ids=["none", "useless", "beside a useless", "our own", "more kexecs", "a count", "later"],
)
def test_of_several_one_counts(
    found: tuple[Keepsake | Unusable, ...], right: Keepsake | Unusable | int | None
) -> None:
    right = found[right] if isinstance(right, int) else right
    for order in (found, found[::-1]):
        assert the_one(order, BEFORE.from_boot_id) == right


@EXAMPLES
@given(spoilt(WHOLE))
def test_no_bytes_at_all_are_an_error(payload: bytes) -> None:
    assert isinstance(parse(payload), Keepsake | Unusable)


# What it says of how this kernel was started.


def kept(root: Path, **changes: Any) -> Receipt:
    """What fits a tree, with these changes."""
    content = json.dumps({**members(root, had=None, **changes), "kept": True})
    found = parse(content.encode())
    assert isinstance(found, Keepsake)
    return found.own


def test_it_brings_the_count_where_there_is_no_receipt(tmp_path: Path) -> None:
    root = materialise(KEXEC_FILE, tmp_path)

    found = read_origin(root, kept(root, kexec_count=4))

    assert (found.started_by, found.kexec_count, found.next_count) == (StartedBy.KEXEC, 4, 5)


def test_the_receipt_counts_where_there_are_both(tmp_path: Path) -> None:
    root = materialise(KEXEC_SYSCALL, tmp_path)
    add_receipt(root, kexec_count=2)

    found = read_origin(root, kept(root, kexec_count=7))

    assert found.kexec_count == 2
    assert found.receipt is not None
    assert not found.receipt.kept


def test_it_tells_of_a_kexec_that_the_kernel_does_not_show(tree: Path) -> None:
    receipt = kept(tree)
    remove(tree, "sys/kernel/boot_params")

    assert read_origin(tree, receipt).started_by is StartedBy.KEXEC
    assert read_origin(tree, Unusable("it is not JSON")).started_by is StartedBy.UNKNOWN


def test_it_counts_where_the_receipt_cannot_be_used(tmp_path: Path) -> None:
    root = materialise(KEXEC_SYSCALL, tmp_path)
    add_receipt(root, format=2)

    found = read_origin(root, kept(root, kexec_count=4))

    assert (found.started_by, found.kexec_count) == (StartedBy.KEXEC, 4)


def test_what_a_loader_wrote_is_not_taken_for_what_systemd_kept(tmp_path: Path) -> None:
    root = materialise(KEXEC_SYSCALL, tmp_path)
    add_receipt(root, kept=True)

    found = read_origin(root)

    assert found.receipt is not None
    assert not found.receipt.kept


def test_a_count_that_no_receipt_can_tell_is_not_told(tmp_path: Path) -> None:
    root = materialise(KEXEC_FILE, tmp_path)

    for count, then in ((MOST_KEXECS - 1, MOST_KEXECS), (MOST_KEXECS, None)):
        assert read_origin(root, kept(root, kexec_count=count)).next_count == then


def test_it_is_not_believed_where_a_boot_loader_was(tmp_path: Path) -> None:
    root = materialise(FIRST_KERNEL, tmp_path)

    found = read_origin(root, kept(root))

    assert (found.started_by, found.receipt, found.kexec_count) == (StartedBy.BOOT_LOADER, None, 0)


def test_one_that_fits_changes_nothing_of_the_verdict(tmp_path: Path) -> None:
    root = materialise(KEXEC_FILE, tmp_path)
    snapshot = read_snapshot(root)

    assert assess(replace(snapshot, kept=kept(root))) == assess(snapshot)


def test_a_daemon_that_had_no_image_says_nothing_of_what_the_kernel_packed(tmp_path: Path) -> None:
    root = materialise(KEXEC_FILE, tmp_path)
    snapshot = replace(read_snapshot(root), kept=kept(root, sha256="", region_count=0))

    assert "keepsake-differs" not in {finding.code for finding in validate(snapshot)}


def test_a_region_that_the_kernel_split_as_it_packed_them_is_nothing_lost(tmp_path: Path) -> None:
    """The daemon tells of regions as they are joined again, the kernel hands on the pieces."""
    root = materialise(KEXEC_FILE, tmp_path)
    patch(root, BOOT_PARAMS, 0x1D4, struct.pack("<I", 48 * 9))
    snapshot = read_snapshot(root)

    assert snapshot.handed_regions == 9
    assert assess(replace(snapshot, kept=kept(root))) == assess(snapshot)


def told(snapshot: Snapshot, code: str) -> list[Finding]:
    return [each for each in validate(snapshot) if each.code == code]


@pytest.mark.parametrize("name", ["kexec_count", "sha256"])
@pytest.mark.parametrize("here", [True, False])
def test_what_one_of_both_does_not_tell_is_no_difference(
    name: str, here: bool, tmp_path: Path
) -> None:
    nothing: dict[str, Any] = {"kexec_count": None, "sha256": ""}
    root = materialise(KEXEC_SYSCALL, tmp_path)
    add_receipt(root, **({name: nothing[name]} if here else {}))
    left = replace(kept(root), **({} if here else {name: nothing[name]}))

    assert not told(replace(read_snapshot(root), kept=left), "keepsake-differs")


def test_what_was_kept_through_a_start_by_a_boot_loader_is_told_as_that(tmp_path: Path) -> None:
    root = materialise(FIRST_KERNEL, tmp_path)

    (finding,) = told(replace(read_snapshot(root), kept=kept(root)), "keepsake-differs")

    assert finding.message.startswith("A boot loader started this kernel")


def test_where_no_efi_arrived_what_was_kept_says_that_there_was(tmp_path: Path) -> None:
    root = materialise(KEXEC_FILE, tmp_path)
    left = kept(root)
    for lost in ("sys/firmware/efi", f"{SETUP_DATA}/1"):
        remove(root, lost)

    assessment = assess(replace(read_snapshot(root), kept=left))

    assert assessment.state is State.UNSUPPORTED
    assert [each.code for each in assessment.findings] == ["not-uefi", "keepsake-differs"]
    assert assessment.count(Severity.WARNING) == 1


def test_where_there_is_no_efi_a_useless_one_is_noted_all_the_same(tmp_path: Path) -> None:
    root = materialise(KEXEC_FILE, tmp_path)
    remove(root, "sys/firmware/efi")

    assessment = assess(replace(read_snapshot(root), kept=Unusable("it is not JSON")))

    assert [each.code for each in assessment.findings] == ["not-uefi", "keepsake-unusable"]


@pytest.mark.parametrize("name", ["from_boot_id", "kexec_count", "sha256"])
def test_what_differs_from_the_receipt_is_named(name: str, tmp_path: Path) -> None:
    root = materialise(KEXEC_SYSCALL, tmp_path)
    add_receipt(root)
    told_by_receipt = {"from_boot_id": FROM, "kexec_count": "1", "sha256": kept(root).sha256}
    other = {"from_boot_id": BEFORE.from_boot_id, "kexec_count": 9, "sha256": "cd" * 32}[name]
    snapshot = replace(read_snapshot(root), kept=kept(root, **{name: other}))

    (finding,) = (each for each in validate(snapshot) if each.code == "keepsake-differs")

    assert finding.details == {"receipt": told_by_receipt[name], "kept": str(other)}


def test_one_that_cannot_be_used_is_noted_and_takes_nothing_away(tmp_path: Path) -> None:
    snapshot = read_snapshot(materialise(KEXEC_FILE, tmp_path))

    assessment = assess(replace(snapshot, kept=Unusable("it is not JSON")))

    assert (assessment.state, assessment.image) == (
        assess(snapshot).state,
        assess(snapshot).image,
    )
    noted = {(each.code, each.severity) for each in assessment.findings}
    assert ("keepsake-unusable", Severity.INFO) in noted


def test_a_reading_s_parts_tell_of_it_and_that_it_came_is_no_change_of_the_map(tree: Path) -> None:
    snapshot = read_snapshot(tree)
    without = parts_of(snapshot)
    parts = parts_of(replace(snapshot, kept=OWN))
    unusable = parts_of(replace(snapshot, kept=Unusable("it is not sealed")))

    assert "kept" not in without
    assert parts == {**without, "kept": OWN.members()}
    assert unusable["kept"] == {"unusable": "it is not sealed"}
    assert changed(without, parts) == ()
