# SPDX-License-Identifier: LGPL-2.1-or-later
"""Harm to what a kernel that was started by kexec was handed, and to the receipt of that."""

import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from kexecprepd.core.receipt import Receipt, Unusable
from kexecprepd.core.snapshot import Snapshot
from kexecprepd.core.verdict import assess
from tests.support.receipts import FROM, LOADED_AT, NODE, add_receipt
from tests.support.recordings import (
    BOOT_PARAMS,
    KEXEC_FILE,
    KEXEC_SYSCALL,
    SETUP_DATA,
    add_setup_data,
    patch,
    write,
)

from .damage import Change, Damage, damage


def handed(root: Path, **changes: int) -> None:
    """Change what the second kernel was handed."""
    offsets = {"fw_vendor": 0, "runtime": 8, "tables": 16, "smbios": 24}
    for name, value in changes.items():
        patch(root, f"{SETUP_DATA}/1/data", offsets[name], struct.pack("<Q", value))


def receipt(**changes: Any) -> Callable[[Path], None]:
    """A receipt with these changes, as a step of damage."""
    return lambda root: add_receipt(root, **changes)


def kept(**changes: Any) -> Change:
    """What systemd kept and what fits the tree, with these changes, as a change of a reading."""

    def change(seen: Snapshot) -> Snapshot:
        told = Receipt(
            from_boot_id=FROM,
            sha256=assess(seen).sha256,
            region_count=len(seen.runtime_regions),
            loader="kexecprepd 0.2",
            loaded_at=LOADED_AT,
            kexec_count=1,
            kept=True,
        )
        return replace(seen, kept=replace(told, **changes))

    return change


DAMAGE: dict[str, dict[str, Damage]] = {
    "handed-over-otherwise": {
        "fw_vendor": damage(lambda root: handed(root, fw_vendor=0x7F52_AA20), on=KEXEC_SYSCALL),
        "config_table": damage(lambda root: handed(root, tables=0x7F5E_BCA0), on=KEXEC_FILE),
        "too short": damage(
            lambda root: write(root, f"{SETUP_DATA}/1/data", bytes(95)), on=KEXEC_SYSCALL
        ),
        "a second node": damage(lambda root: add_setup_data(root, 4, bytes(96)), on=KEXEC_SYSCALL),
    },
    "receipt-differs": {
        "another image": damage(receipt(sha256="ab" * 32), on=KEXEC_SYSCALL),
        "more regions": damage(receipt(region_count=123_456_789), on=KEXEC_SYSCALL),
        "EFI that did not arrive": damage(receipt()),
        "EFI that was not sent": damage(receipt(sha256="", region_count=0), on=KEXEC_SYSCALL),
        "fewer descriptors": damage(
            receipt(),
            lambda root: patch(root, BOOT_PARAMS, 0x1D4, struct.pack("<I", 40)),
            on=KEXEC_SYSCALL,
        ),
    },
    "receipt-unusable": {
        "no JSON": damage(lambda root: add_setup_data(root, NODE, b"{"), on=KEXEC_SYSCALL),
        "empty": damage(lambda root: add_setup_data(root, NODE, b""), on=KEXEC_SYSCALL),
        "1 MiB": damage(
            lambda root: add_setup_data(root, NODE, b"[" * (1 << 20)), on=KEXEC_SYSCALL
        ),
        "an address for a loader": damage(receipt(loader="\x1b 0x7f52a000"), on=KEXEC_SYSCALL),
    },
    "receipt-foreign": {
        "format 2": damage(receipt(format=2), on=KEXEC_SYSCALL),
    },
    "keepsake-differs": {
        "another image": damage(on=KEXEC_FILE, then=kept(sha256="ab" * 32)),
        "a boot loader": damage(then=kept()),
        "another count": damage(receipt(), on=KEXEC_SYSCALL, then=kept(kexec_count=2)),
        "EFI that did not arrive": damage(
            lambda root: write(root, f"{SETUP_DATA}/1/type", "0x1\n"), on=KEXEC_FILE, then=kept()
        ),
    },
    "keepsake-unusable": {
        "no JSON": damage(
            on=KEXEC_FILE, then=lambda seen: replace(seen, kept=Unusable("it is not JSON"))
        ),
    },
}
