# SPDX-License-Identifier: LGPL-2.1-or-later
"""Which memory the firmware's map lists that is not there."""

from .intervals import Interval, outside, union
from .snapshot import MemoryRange, Snapshot

_FOUR_GIB = 1 << 32


def absent_memory(snapshot: Snapshot) -> tuple[tuple[MemoryRange, Interval], ...]:
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
