# SPDX-License-Identifier: LGPL-2.1-or-later
"""Harm to the memory map itself, and to what is known of it at boot and now."""

from dataclasses import replace
from pathlib import Path

from kexecprepd.core.snapshot import MemoryRange, Snapshot
from tests.support.recordings import (
    MEMMAP,
    add_range,
    add_region,
    remove,
    set_memory_blocks,
    set_range,
    write,
)

from .damage import GAP, RUNTIME, VIRT, Damage, damage

GIB = 1 << 30
BLOCK = 128 << 20

# The recording has System RAM from 4 GiB to 8 GiB: blocks 32 to 63 of 128 MiB.
ALL_BLOCKS = range(64)


def blocks(root: Path, *absent: int) -> None:
    """All blocks of memory but the absent ones."""
    set_memory_blocks(root, BLOCK, (number for number in ALL_BLOCKS if number not in absent))


def cmdline(root: Path, text: str) -> None:
    write(root, "proc/cmdline", f"quiet {text}\n")


def many_ranges(snapshot: Snapshot, count: int) -> Snapshot:
    """Reserved ranges in the gap until the memory map has `count`."""
    ranges = snapshot.memory_map or ()
    starts = {number: GAP + number * 0x2000 for number in range(len(ranges), count)}
    more = (MemoryRange(n, start, start + 0xFFF, "Reserved") for n, start in starts.items())
    return replace(snapshot, memory_map=(*ranges, *more))


def plug(root: Path, start: int = GAP, size: int = BLOCK) -> None:
    """Memory plugged in after boot."""
    add_range(root, start, start + size - 1, "System RAM")


def mmio(root: Path, phys_addr: int, pages: int = 1) -> int:
    """A region of MMIO; its number."""
    return add_region(
        root,
        type=11,
        phys_addr=phys_addr,
        virt_addr=VIRT + phys_addr % (1 << 21),
        num_pages=pages,
        attribute=RUNTIME,
    )


def boot_services(root: Path, phys_addr: int) -> int:
    """A boot-services region, which may lie in System RAM; its number."""
    return add_region(
        root, type=4, phys_addr=phys_addr, virt_addr=VIRT, num_pages=1, attribute=RUNTIME
    )


def all_reserved(root: Path) -> None:
    """The memory map with every range of System RAM as reserved."""
    for kind in (root / MEMMAP).glob("*/type"):
        if kind.read_text() == "System RAM\n":
            set_range(root, int(kind.parent.name), type="Reserved")


def only(root: Path, start: int, end: int, type: str) -> None:
    """A memory map of one range."""
    remove(root, MEMMAP)
    add_range(root, start, end, type)


DAMAGE: dict[str, dict[str, Damage]] = {
    "memmap-missing": {
        "no directory": damage(lambda root: remove(root, MEMMAP)),
        "empty": damage(lambda root: remove(root, MEMMAP), lambda root: (root / MEMMAP).mkdir()),
        "a range out of it": damage(
            lambda root: only(root, 0x4000_0000, 0xFFFF_FFFF, "Reserved"),
        ),
    },
    "memmap-without-ram": {
        "all reserved": damage(all_reserved),
        "one range over everything": damage(lambda root: only(root, 0, (1 << 64) - 1, "Reserved")),
        "a range over everything as well": damage(
            lambda root: add_range(root, 0, (1 << 64) - 1, "Reserved"),
            also=("memmap-contradiction", "memmap-repetition"),
        ),
    },
    "memmap-inverted": {
        "by a byte": damage(lambda root: add_range(root, GAP, GAP - 1, "Reserved")),
        "wrapping": damage(lambda root: add_range(root, (1 << 64) - 0x1000, 0xFFF, "System RAM")),
    },
    "memmap-contradiction": {
        "by a byte": damage(lambda root: add_range(root, 0x1_FFFF_FFFF, 0x2_0000_0FFF, "Reserved")),
        "by a page": damage(lambda root: set_range(root, 2, start=0x80_5000)),
        "one in the other": damage(
            lambda root: add_range(root, 0x100_0000, 0x100_0FFF, "Reserved")
        ),
    },
    "memmap-repetition": {
        "plugged in again": damage(
            lambda root: add_range(root, 0x1_0000_0000, 0x1_07FF_FFFF, "System RAM")
        ),
        "spelt otherwise": damage(
            lambda root: add_range(root, 0xB000_0000, 0xB000_0FFF, "reserved")
        ),
    },
    "memmap-type-unknown": {
        "new": damage(lambda root: set_range(root, 14, type="Radioactive memory")),
    },
    "memmap-too-long": {"one more": damage(then=lambda read: many_ranges(read, 129))},
    "memory-absent": {
        "a block": damage(lambda root: blocks(root, 40)),
        "the first above 4 GiB": damage(lambda root: blocks(root, 32)),
        "the last": damage(lambda root: blocks(root, 63)),
        "all above 4 GiB": damage(lambda root: blocks(root, *range(32, 64))),
        "half of a block of 2 GiB": damage(
            lambda root: set_memory_blocks(root, 2 * GIB, (0, 1, 2))
        ),
        "a like option": damage(
            lambda root: blocks(root, 40), lambda root: cmdline(root, "memtest=4 xmem=1")
        ),
    },
    "memory-withheld": {
        "by MTRR trimming": damage(
            lambda root: blocks(root, 62, 63),
            lambda root: write(root, "proc/iomem", "1f0000000-1ffffffff : Reserved\n"),
        ),
    },
    "memory-cut": {
        "mem=": damage(
            lambda root: blocks(root, *range(40, 64)), lambda root: cmdline(root, "mem=5G")
        ),
        "memmap=": damage(
            lambda root: blocks(root, 40), lambda root: cmdline(root, "memmap=1G!5G")
        ),
    },
    "region-in-plugged-memory": {
        "boot services": damage(lambda root: plug(root), lambda root: boot_services(root, GAP)),
        "MMIO": damage(
            lambda root: plug(root), lambda root: mmio(root, GAP), also=("region-in-usable-memory",)
        ),
        "the last page of it": damage(
            lambda root: plug(root),
            lambda root: mmio(root, GAP + BLOCK - 0x1000, 2),
            also=("region-in-usable-memory",),
        ),
        "between ranges of boot": damage(
            lambda root: plug(root, 0xC000_0000, 0x3FC0_0000), lambda root: boot_services(root, GAP)
        ),
    },
    "soft-reserved-memory": {
        "above": damage(
            lambda root: add_range(root, 0x2_0000_0000, 0x2_3FFF_FFFF, "Soft Reserved")
        ),
    },
    "mirror-lost": {"asked for": damage(lambda root: cmdline(root, "kernelcore=mirror"))},
}
