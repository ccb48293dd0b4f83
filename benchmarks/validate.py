#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""How validation grows with the maps, and what it costs beside reading them."""

import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from kexecprepd.abi.efi import PAGE_SIZE, RUNTIME, VA_START
from kexecprepd.core.rules import validate
from kexecprepd.core.snapshot import MemoryRange, RuntimeRegion, Snapshot
from tests.support import recordings
from tests.support.snapshots import read_snapshot

REPETITIONS = 5
SIZES = (10_000, 20_000)
BASE = 0x100_0000_0000


def enlarged(snapshot: Snapshot, count: int) -> Snapshot:
    """A snapshot with `count` regions, each in a memory range of its own."""
    data = recordings.RUNTIME_DATA
    regions, ranges = [], []
    for number in range(count):
        # Downwards, as a first kernel maps them.
        phys = BASE - number * 2 * PAGE_SIZE
        virt = VA_START - (32 << 30) - number * 2 * PAGE_SIZE
        regions.append(RuntimeRegion(number, data, phys, virt, 1, RUNTIME | 15))
        ranges.append(MemoryRange(number, phys, phys + PAGE_SIZE - 1, "Reserved"))
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


def timed(work: Callable[[], object]) -> float:
    """How long it took, in seconds."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def main() -> int:
    """Print the ratios of one run."""
    with tempfile.TemporaryDirectory() as name:
        root = recordings.materialise(recordings.FIRST_KERNEL, Path(name) / "root")
        snapshot = read_snapshot(root)
        small, large = (enlarged(snapshot, size) for size in SIZES)
        write(small, root)
        # In turn, so that what else the machine does falls on all alike.
        rounds = [
            (
                timed(lambda: validate(small)),
                timed(lambda: validate(large)),
                timed(lambda: read_snapshot(root)),
            )
            for _ in range(REPETITIONS)
        ]
    # The shortest is the least disturbed.
    first, second, reading = (min(each) for each in zip(*rounds, strict=True))
    print(f"validate, {SIZES[0]} against {SIZES[0]}: {first:8.3f} s")
    print(f"validate, {SIZES[1]} against {SIZES[1]}: {second:8.3f} s")
    print(f"read,     {SIZES[0]} and {SIZES[0]}:     {reading:8.3f} s")
    print(f"twice as much takes          {second / first:8.2f} times as long")
    print(f"validating is to reading as  {first / reading:8.2f} to 1")
    return 0


if __name__ == "__main__":
    sys.exit(main())
