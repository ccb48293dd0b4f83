# SPDX-License-Identifier: LGPL-2.1-or-later
"""Harm to the runtime regions alone."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

from kexecprepd.core.snapshot import RuntimeRegion, Snapshot
from tests.support.recordings import add_region, remove, set_region, write

from .damage import GAP, RUNTIME, VIRT, Damage, damage

RAM = 0x2000_0000
"""An address in System RAM, congruent with VIRT as GAP is."""


def add(root: Path, **changes: int) -> int:
    """One more region of MMIO, healthy but for `changes`; its number."""
    healthy = {"type": 11, "phys_addr": GAP, "virt_addr": VIRT, "num_pages": 1}
    return add_region(root, **{"attribute": RUNTIME | 1, **healthy, **changes})


def filled(snapshot: Snapshot, count: int) -> Snapshot:
    """Regions until there are `count` of them, side by side in the gap."""
    regions = snapshot.runtime_map or ()
    more = (
        RuntimeRegion(len(regions) + page, 11, GAP + page * 4096, VIRT + page * 4096, 1, RUNTIME)
        for page in range(count - len(regions))
    )
    return replace(snapshot, runtime_map=(*regions, *more))


def split(root: Path, *pages: int) -> None:
    """Boot-services data of 8 pages in RAM, as a kexec'd kernel splits it at these."""
    data = {"type": 4, "attribute": RUNTIME | 15}
    for first, end in pairwise((0, *pages, 8)):
        add(root, **data, phys_addr=RAM + first * 4096, num_pages=end - first)


# The first kernel's regions 0 to 5: MMIO, data, code, data, data, boot-services data, descending.
# Region 5 lies alone in System RAM, 0 in a Reserved range of its own.
DAMAGE: dict[str, dict[str, Damage]] = {
    "region-empty": {
        "no pages": damage(lambda root: set_region(root, 1, num_pages=0)),
        "no pages, not handed over": damage(
            lambda root: add(root, num_pages=0, attribute=15, type=4), also=("region-unexplained",)
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
        "not handed over": damage(
            lambda root: add(root, phys_addr=(1 << 64) - 0x1000, attribute=15, type=4),
            also=("region-unexplained",),
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
            lambda root: add(root), lambda root: add(root, virt_addr=VIRT + 0x20_0000)
        ),
        "by a page": damage(
            lambda root: add(root, num_pages=2),
            lambda root: add(root, phys_addr=GAP + 0x1000, virt_addr=VIRT + 0x20_1000, num_pages=2),
        ),
        "one in the other": damage(
            lambda root: add(root, num_pages=9),
            lambda root: add(root, phys_addr=GAP + 0x1000, virt_addr=VIRT + 0x20_1000),
        ),
    },
    "virt-overlap": {
        "the same page": damage(
            lambda root: add(root), lambda root: add(root, phys_addr=GAP + 0x20_0000)
        ),
        "by a page": damage(
            lambda root: add(root, num_pages=2),
            lambda root: add(root, phys_addr=GAP + 0x20_1000, virt_addr=VIRT + 0x1000, num_pages=2),
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
        "command line not known": damage(
            lambda root: add(root, type=4, attribute=15), lambda root: remove(root, "proc/cmdline")
        ),
    },
    "region-split": {
        "in two": damage(lambda root: split(root, 4)),
        "in three": damage(lambda root: split(root, 4, 6)),
    },
    "region-unexplained": {
        "boot services without efi=debug": damage(lambda root: add(root, type=4, attribute=15)),
        "RAM with efi=debug": damage(
            lambda root: add(root, type=7, attribute=15),
            lambda root: write(root, "proc/cmdline", "efi=debug\n"),
        ),
        "runtime code": damage(lambda root: add(root, type=5, attribute=15)),
    },
    "attribute-unknown": {
        "bit 5": damage(lambda root: add(root, attribute=RUNTIME | 1 << 5)),
        "bit 21": damage(lambda root: add(root, attribute=RUNTIME | 1 << 21)),
        "bit 43": damage(lambda root: add(root, attribute=RUNTIME | 1 << 43)),
        "bit 61": damage(lambda root: add(root, attribute=RUNTIME | 1 << 61)),
    },
    "type-undefined": {
        "16": damage(lambda root: add(root, type=16)),
        "the last": damage(lambda root: add(root, type=0x6FFF_FFFF)),
    },
}
