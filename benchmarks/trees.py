# SPDX-License-Identifier: LGPL-2.1-or-later
"""Trees of any size: so many runtime regions, and as many ranges of the memory map."""

import shutil
from dataclasses import replace
from pathlib import Path

from kexecprepd.abi.efi import PAGE_SIZE, RUNTIME, VA_START
from kexecprepd.core.snapshot import MemoryRange, RuntimeRegion, Snapshot
from tests.support import recordings
from tests.support.snapshots import read_snapshot

BASE = 0x100_0000_0000
RAM = 0x100_0000
"""Where System RAM has room for an image."""


def enlarged(snapshot: Snapshot, count: int) -> Snapshot:
    """A snapshot with `count` regions: its own, and others each in a memory range of its own."""
    data = recordings.RUNTIME_DATA
    regions, ranges = [*(snapshot.runtime_map or ())], [*(snapshot.memory_map or ())]
    for number in range(count - len(regions)):
        # Downwards, as a first kernel maps them.
        phys = BASE - number * 2 * PAGE_SIZE
        virt = VA_START - (32 << 30) - number * 2 * PAGE_SIZE
        regions.append(RuntimeRegion(len(regions), data, phys, virt, 1, RUNTIME | 15))
        ranges.append(MemoryRange(len(ranges), phys, phys + PAGE_SIZE - 1, "Reserved"))
    return replace(snapshot, runtime_map=tuple(regions), memory_map=tuple(ranges))


def write(snapshot: Snapshot, root: Path) -> None:
    """Put both maps of a snapshot into a tree, in the way of sysfs."""
    for top, entries, names in (
        (recordings.RUNTIME_MAP, snapshot.runtime_map, recordings.ATTRIBUTES),
        (recordings.MEMMAP, snapshot.memory_map, ("start", "end", "type")),
    ):
        shutil.rmtree(root / top)
        for entry in entries or ():
            directory = root / top / str(entry.number)
            directory.mkdir(parents=True)
            for name in names:
                value = getattr(entry, name)
                text = value if isinstance(value, str) else f"{value:#x}"
                (directory / name).write_text(f"{text}\n")


def tree_of(count: int, root: Path) -> Path:
    """Make a first kernel's tree of that size at `root`."""
    top = recordings.materialise(recordings.FIRST_KERNEL, root)
    write(enlarged(read_snapshot(top), count), top)
    return top
