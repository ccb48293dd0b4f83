# SPDX-License-Identifier: LGPL-2.1-or-later
"""Which memory the firmware's map lists that is not there, and the map without it."""

from collections.abc import Iterator
from dataclasses import replace

from ..abi.bootparam import E820_NAMES
from .cut import cut_by
from .intervals import Interval, outside, union, within
from .snapshot import MemoryRange, Snapshot

_FOUR_GIB = 1 << 32

Part = tuple[MemoryRange, Interval]
"""A range of the memory map, and the part of it that is meant."""


def missing_memory(snapshot: Snapshot) -> tuple[Part, ...]:
    """The parts of System RAM above 4 GiB that no present block of memory covers.

    Empty where the kernel does not say which blocks are present. Blocks are coarse, and below
    4 GiB their holes and the firmware's make no case.
    """
    blocks = snapshot.memory_blocks
    if blocks is None or not blocks.numbers:
        return ()
    present = union(Interval(n * blocks.size, (n + 1) * blocks.size - 1) for n in blocks.numbers)
    return tuple(
        (memory, part)
        for memory in snapshot.memory_map or ()
        if memory.is_ram and memory.start <= memory.end and memory.end >= _FOUR_GIB
        for part in outside(present, Interval(max(memory.start, _FOUR_GIB), memory.end))
    )


def absent_memory(snapshot: Snapshot) -> tuple[Part, ...]:
    """The missing memory that the running kernel's command line does not account for."""
    cut = cut_by(snapshot.kernel.cmdline or "")
    return tuple(
        (memory, part)
        for memory, missing in missing_memory(snapshot)
        for part in outside(cut, missing)
    )


def absent_at_boot(snapshot: Snapshot) -> tuple[Part, ...]:
    """The same of the memory map that this kernel was booted with, which the kernel itself hands on
    (kexec_file_load): other than the one in sysfs, it stays as it was whatever is unplugged.
    """
    listed = snapshot.e820_at_boot
    ranges = tuple(
        MemoryRange(number, each.start, each.start + each.size - 1, E820_NAMES[each.type])
        for number, each in enumerate(listed)
        if each.size and each.type in E820_NAMES
    )
    return absent_memory(replace(snapshot, memory_map=ranges))


def cut_memory(snapshot: Snapshot) -> tuple[Part, ...]:
    """The missing memory that the running kernel's command line takes away from it."""
    cut = cut_by(snapshot.kernel.cmdline or "")
    return tuple(
        (memory, part)
        for memory, missing in missing_memory(snapshot)
        for part in within(cut, missing)
    )


def absent_ranges(snapshot: Snapshot) -> tuple[Interval, ...]:
    """The addresses of absent memory, ascending, neither overlapping nor touching."""
    return union(part for _, part in absent_memory(snapshot))


def present_memory_map(snapshot: Snapshot) -> tuple[MemoryRange, ...]:
    """The memory map that a loader passes on: without absent memory, ascending and numbered anew.

    What is left of a range keeps its type. A range that ends before it begins stays as it is.
    """
    absent = absent_ranges(snapshot)

    def parts() -> Iterator[MemoryRange]:
        for memory in snapshot.memory_map or ():
            if memory.is_ram and memory.start <= memory.end:
                for part in outside(absent, memory.extent):
                    yield replace(memory, start=part.start, end=part.end)
            else:
                yield memory

    listed = sorted(parts(), key=lambda each: (each.start, each.end, each.number))
    return tuple(replace(memory, number=number) for number, memory in enumerate(listed))
