# SPDX-License-Identifier: LGPL-2.1-or-later
"""Harm to the runtime regions alone."""

import os
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

from kexecprepd.core.snapshot import RuntimeRegion, Snapshot
from tests.support.recordings import (
    BGRT,
    BGRT_KEXEC_FILE,
    BOOT_PARAMS,
    KEXEC_SYSCALL,
    MEMMAP,
    RUNTIME_MAP,
    add_region,
    patch,
    remove,
    set_region,
    write,
)

from .damage import GAP, RUNTIME, VIRT, Damage, damage

UNREADABLE = RUNTIME_MAP.encode() + b"/0/\xff\n"
"""A name that is not UTF-8, and would begin a line."""

RAM = 0x2000_0000
"""An address in System RAM, congruent with VIRT as GAP is."""


def add(root: Path, **changes: int) -> int:
    """One more region of MMIO, healthy but for `changes`; its number."""
    healthy = {"type": 11, "phys_addr": GAP, "virt_addr": VIRT, "num_pages": 1}
    return add_region(root, **{"attribute": RUNTIME | 1, **healthy, **changes})


def filled(snapshot: Snapshot, count: int) -> Snapshot:
    """Regions until there are `count` of them, side by side in the gap, downwards."""
    regions = snapshot.runtime_map or ()
    more = (
        RuntimeRegion(len(regions) + page, 11, GAP - page * 4096, VIRT - page * 4096, 1, RUNTIME)
        for page in range(count - len(regions))
    )
    return replace(snapshot, runtime_map=(*regions, *more))


def split(root: Path, *pages: int) -> None:
    """Boot-services data of 8 pages in RAM, as a kexec'd kernel splits it at these."""
    data = {"type": 4, "attribute": RUNTIME | 15}
    for first, end in pairwise((0, *pages, 8)):
        add(root, **data, phys_addr=RAM + first * 4096, num_pages=end - first)


def untagged(root: Path, **changes: int) -> int:
    """A page of boot-services data in RAM, as coming kernels keep it; its number."""
    return add(root, **{"type": 4, "phys_addr": RAM, "attribute": 15, **changes})


def untag(root: Path, *numbers: int) -> None:
    """Take the RUNTIME attribute from regions."""
    for number in numbers:
        set_region(root, number, attribute=15)


def drop(root: Path, *numbers: int) -> None:
    """Take regions away; the others are numbered anew, in the order that they had."""
    kept = [n for n in range(len(list((root / RUNTIME_MAP).iterdir()))) if n not in numbers]
    for number in numbers:
        remove(root, f"{RUNTIME_MAP}/{number}")
    for number, old in enumerate(kept):
        (root / f"{RUNTIME_MAP}/{old}").rename(root / f"{RUNTIME_MAP}/{number}")


# The first kernel's regions 0 to 5: MMIO, data, code, data, data, boot-services data, descending.
# Region 5 lies alone in System RAM, 0 in a Reserved range of its own.
DAMAGE: dict[str, dict[str, Damage]] = {
    "region-empty": {
        "no pages": damage(lambda root: set_region(root, 1, num_pages=0)),
        "no pages, untagged": damage(
            lambda root: add(root, num_pages=0, attribute=15, type=4),
            also=("boot-services-untagged",),
        ),
        "all zero": damage(
            lambda root: add(root, type=0, phys_addr=0, virt_addr=0, num_pages=0, attribute=RUNTIME)
        ),
    },
    "region-overflow": {
        "more pages than 31 bits": damage(lambda root: set_region(root, 0, num_pages=1 << 31)),
        "more pages than 32 bits": damage(lambda root: set_region(root, 0, num_pages=1 << 32)),
        "64 bits of pages": damage(lambda root: set_region(root, 0, num_pages=(1 << 64) - 1)),
        "one page beyond 52 bits": damage(
            lambda root: set_region(root, 0, phys_addr=(1 << 52) - 0x3F_F000)
        ),
        "the last page of 64 bits": damage(
            lambda root: set_region(root, 0, phys_addr=(1 << 64) - 0x40_0000)
        ),
        "beyond the address space": damage(
            lambda root: set_region(root, 0, phys_addr=(1 << 64) - 0x1000)
        ),
        "untagged": damage(
            lambda root: add(root, phys_addr=(1 << 64) - 0x1000, attribute=15, type=4),
            also=("boot-services-untagged",),
        ),
    },
    "region-misaligned": {
        "physical": damage(lambda root: add(root, phys_addr=GAP + 0x800)),
        "virtual": damage(lambda root: add(root, virt_addr=VIRT + 8)),
    },
    "virt-outside-window": {
        "unmapped": damage(lambda root: set_region(root, 5, virt_addr=0)),
        "1:1": damage(lambda root: set_region(root, 5, virt_addr=0x7DD3_B000)),
        "below": damage(lambda root: set_region(root, 5, virt_addr=0xFFFF_FFEE_FFF3_B000)),
        "above": damage(lambda root: set_region(root, 5, virt_addr=0xFFFF_FFFF_0013_B000)),
        "over the top": damage(
            lambda root: add(root, virt_addr=0xFFFF_FFFE_FFE0_0000, num_pages=0x201),
            also=("virt-overlap",),
        ),
        "wrapping": damage(lambda root: set_region(root, 5, virt_addr=(1 << 64) - 0x1000)),
    },
    "virt-incongruent": {
        "by a page": damage(lambda root: add(root, virt_addr=VIRT + 0x1000)),
        "by the highest bit that counts": damage(
            lambda root: add(root, virt_addr=VIRT + (1 << 20))
        ),
    },
    "phys-overlap": {
        "the same page": damage(
            lambda root: add(root), lambda root: add(root, virt_addr=VIRT - 0x20_0000)
        ),
        "by a page": damage(
            lambda root: add(root, num_pages=2),
            lambda root: add(root, phys_addr=GAP + 0x1000, virt_addr=VIRT - 0x1F_F000, num_pages=2),
        ),
        "one in the other": damage(
            lambda root: add(root, num_pages=9),
            lambda root: add(root, phys_addr=GAP + 0x1000, virt_addr=VIRT - 0x1F_F000),
        ),
        "with one that is left out": damage(
            lambda root: write(root, "proc/cmdline", "efi=debug\n"),
            lambda root: add(root, num_pages=2),
            lambda root: add(
                root, phys_addr=GAP + 0x1000, virt_addr=VIRT - 0x1F_F000, type=4, attribute=15
            ),
            also=("region-without-runtime",),
        ),
    },
    "virt-overlap": {
        "the same page": damage(
            lambda root: add(root),
            lambda root: add(root, phys_addr=GAP + 0x20_0000),
            also=("virt-not-descending",),
        ),
        "by a page": damage(
            lambda root: add(root, phys_addr=GAP + 0x1000, virt_addr=VIRT + 0x1000, num_pages=2),
            lambda root: add(root, phys_addr=GAP + 0x20_0000, num_pages=2),
        ),
        "pieces of a region in a first kernel": damage(
            lambda root: split(root, 4), also=("virt-not-descending", "virt-incongruent")
        ),
    },
    # Number 6 comes last in the first kernel, so it must be mapped below all others.
    "virt-not-descending": {
        "2 MiB up": damage(
            lambda root: set_region(root, 4, virt_addr=0xFFFF_FFFE_FF6A_0000),
        ),
        "2 MiB down": damage(
            lambda root: set_region(root, 4, virt_addr=0xFFFF_FFFE_FD6A_0000),
        ),
        "in another order": damage(
            lambda root: set_region(root, 1, virt_addr=0xFFFF_FFFE_D00F_4000),
        ),
        "without a table's bit": damage(
            lambda root: untagged(root, virt_addr=0xFFFF_FFFE_FF80_0000),
            also=("boot-services-untagged",),
        ),
    },
    "too-many-regions": {"one more": damage(then=lambda read: filled(read, 6551))},
    "region-conventional": {
        "free memory": damage(lambda root: set_region(root, 1, type=7), also=("region-misplaced",)),
        "unaccepted memory": damage(
            lambda root: set_region(root, 1, type=15), also=("region-misplaced",)
        ),
    },
    "region-without-runtime": {
        "efi=debug": damage(
            lambda root: add(root, type=3, attribute=15),
            lambda root: write(root, "proc/cmdline", "quiet efi=nochunk,debug\n"),
        ),
    },
    "boot-services-untagged": {
        "one more": damage(lambda root: untagged(root)),
        "command line not known": damage(
            lambda root: untagged(root), lambda root: remove(root, "proc/cmdline")
        ),
        "all of them": damage(lambda root: untag(root, 5, 6, 7), on=BGRT),
        "all of them, and efi=debug": damage(
            lambda root: untag(root, 5), lambda root: write(root, "proc/cmdline", "efi=debug\n")
        ),
        "efi=debug after kexec": damage(
            lambda root: untagged(root),
            lambda root: write(root, "proc/cmdline", "efi=debug\n"),
            on=KEXEC_SYSCALL,
        ),
    },
    "region-split": {
        "in two": damage(lambda root: split(root, 4), on=KEXEC_SYSCALL),
        "in three": damage(lambda root: split(root, 4, 6), on=KEXEC_SYSCALL),
        "by a loader without a node": damage(
            lambda root: split(root, 4), lambda root: patch(root, BOOT_PARAMS, 0x210, b"\xd0")
        ),
    },
    "region-unexplained": {
        "RAM with efi=debug": damage(
            lambda root: add(root, type=7, attribute=15),
            lambda root: write(root, "proc/cmdline", "efi=debug\n"),
        ),
        "runtime code": damage(lambda root: add(root, type=5, attribute=15)),
        "after kexec": damage(lambda root: untag(root, 3), on=KEXEC_SYSCALL),
    },
    "runtime-code-missing": {
        "became data": damage(lambda root: set_region(root, 2, type=6)),
        "left out": damage(lambda root: drop(root, 2)),
        "without the bit": damage(lambda root: untag(root, 2), also=("region-unexplained",)),
        "nothing of what was handed": damage(
            lambda root: drop(root, *range(6)),
            also=("regions-lost", "runtime-table-lost", "table-outside-regions"),
            on=KEXEC_SYSCALL,
        ),
    },
    "runtime-code-unlisted": {
        "MMIO and one of data": damage(lambda root: drop(root, 1, 2, 4)),
    },
    "regions-lost": {
        "one": damage(lambda root: drop(root, 7), on=BGRT_KEXEC_FILE),
    },
    "attribute-unknown": {
        "bit 5": damage(lambda root: add(root, attribute=RUNTIME | 1 << 5)),
        "bit 21": damage(lambda root: add(root, attribute=RUNTIME | 1 << 21)),
        "bit 43": damage(lambda root: add(root, attribute=RUNTIME | 1 << 43)),
        "bit 61": damage(lambda root: add(root, attribute=RUNTIME | 1 << 61)),
    },
    "attribute-file-unknown": {
        "of a region": damage(lambda root: write(root, f"{RUNTIME_MAP}/0/flags", "0x0\n")),
        "of a range": damage(lambda root: write(root, f"{MEMMAP}/0/node", "0\n")),
        "not UTF-8": damage(lambda root: write(root, os.fsdecode(UNREADABLE), "")),
    },
    "type-undefined": {
        "16": damage(lambda root: add(root, type=16)),
        "the last": damage(lambda root: add(root, type=0x6FFF_FFFF)),
    },
}
