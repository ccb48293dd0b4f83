# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the rules look at: a snapshot, and what several of them need of it, worked out once."""

from dataclasses import replace
from functools import cached_property

from .. import entries
from ..intervals import Interval, outside, union
from ..snapshot import MemoryRange, RuntimeRegion, Snapshot
from .fit import Place, places

_CUT_BY_KEXEC_TOOLS = 0x400
"""Bytes of real-mode vectors that kexec-tools takes off the memory map that it hands on, where
they are System RAM. Source: kexec/arch/i386/kexec-x86-common.c."""


class Survey:
    """A snapshot under examination; what is derived from it is derived when it is first asked."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot

    @cached_property
    def sound(self) -> tuple[RuntimeRegion, ...]:
        """The regions whose extent means something, for rules that compare extents."""
        return entries.sound(self.snapshot.runtime_regions)

    @cached_property
    def sound_entries(self) -> tuple[RuntimeRegion, ...]:
        """The same of every entry of the runtime map, be it in the image or not."""
        return entries.sound(self.snapshot.runtime_map or ())

    @cached_property
    def upright(self) -> tuple[MemoryRange, ...]:
        """The ranges of the memory map that do not end before they begin."""
        return tuple(r for r in self.snapshot.memory_map or () if r.start <= r.end)

    @cached_property
    def places(self) -> tuple[Place, ...]:
        """Each sound region with its worst part; none where there is no memory map."""
        if not self.snapshot.memory_map:
            return ()
        return tuple(places(self.sound, self._restored(self.snapshot.memory_map)))

    def _restored(self, memory_map: tuple[MemoryRange, ...]) -> tuple[MemoryRange, ...]:
        """The memory map with what kexec-tools has cut off its beginning."""
        first = min(memory_map, key=lambda each: each.extent)
        if (
            self.snapshot.started_by_kexec
            and first.is_ram
            and first.start == _CUT_BY_KEXEC_TOOLS <= first.end
        ):
            return (*memory_map, replace(first, start=0, end=first.start - 1))
        return memory_map

    @cached_property
    def ram(self) -> tuple[Interval, ...]:
        """What the memory map calls System RAM."""
        return union(each.extent for each in self.snapshot.memory_map or () if each.is_ram)

    @cached_property
    def has_ram(self) -> bool:
        """Whether there is memory that the memory map calls System RAM, and nothing else."""
        others = union(each.extent for each in self.upright if not each.is_ram)
        return any(part for ram in self.ram for part in outside(others, ram))

    @cached_property
    def kept(self) -> tuple[Interval, ...]:
        """What the sound regions keep."""
        return union(each.extent for each in self.sound)
