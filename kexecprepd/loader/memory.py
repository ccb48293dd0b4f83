# SPDX-License-Identifier: LGPL-2.1-or-later
"""Tells which memory the next kernel may be placed in, and what is avoided and why."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ..abi.bootparam import E820_RAM, E820Entry
from ..abi.efi import PAGE_SIZE
from ..core.cut import cut_by
from ..core.intervals import Interval, outside, union, within
from ..core.placement import ExcludedRange
from ..core.snapshot import MemoryRange
from ..reading.iomem import Resource

LOW_MEMORY = 1 << 20
"""Bytes from 0 on in which nothing is placed."""

_LOW_WHY = "the first MiB: firmware data, and where processors start"
_CUT_WHY = "mem= or memmap= on the new command line"
_RAM = "System RAM"
_TAKEN_ANYWHERE = frozenset(("reserved", "crash kernel"))
_OF_THIS_KERNEL = "Kernel "  # Kernel code, rodata, data and bss: gone when the next one starts


@dataclass(frozen=True, slots=True)
class Avoided:
    """Memory in which nothing is placed; `end` is inclusive."""

    start: int
    end: int
    why: str

    @property
    def extent(self) -> Interval:
        """Its physical addresses."""
        return Interval(self.start, self.end)


@dataclass(frozen=True, slots=True)
class Usable:
    """`free` are whole pages, ascending, neither overlapping nor touching; `avoided` ascending."""

    free: tuple[Interval, ...]
    avoided: tuple[Avoided, ...]

    def without(self, kept_out: Iterable[Avoided]) -> "Usable":
        """The same with more that is to be avoided."""
        more = tuple(kept_out)
        blocked = union(each.extent for each in more)
        free = (_whole_pages(part) for whole in self.free for part in outside(blocked, whole))
        return Usable(
            free=tuple(each for each in free if each.start <= each.end),
            avoided=_ascending((*self.avoided, *more)),
        )


def usable(
    memory_map: Iterable[MemoryRange],
    iomem: Iterable[Resource] | None,
    excluded: Iterable[ExcludedRange],
    at_boot: Iterable[E820Entry] = (),
) -> Usable:
    """What the firmware's memory map and /proc/iomem both call System RAM, without the rest.

    Taken from it are the excluded ranges, the first MiB, whatever else the memory map has at
    the same address, all that /proc/iomem has nested in System RAM (reserved memory, the crash
    kernel's) but this kernel itself, and, where `at_boot` says what memory was there when this
    kernel started, what was plugged in since: it may go again. `iomem` is None where a tree does
    not have it: then the memory map alone tells, which will do for a look at a recording and for
    no load.
    """
    ranges = tuple(memory_map)
    others = union(each.extent for each in ranges if not each.is_ram)
    ram = union(
        part
        for whole in union(each.extent for each in ranges if each.is_ram)
        for part in outside(others, whole)
    )
    avoided = [Avoided(0, LOW_MEMORY - 1, _LOW_WHY)]
    avoided += (Avoided(each.start, each.end, each.why) for each in excluded)
    if iomem is not None:
        avoided += _taken(ram, tuple(iomem))
    avoided += _plugged_in(ram, at_boot)
    # A region of no pages ends before it begins, and takes nothing.
    avoided = [each for each in avoided if each.start <= each.end]
    blocked = union(each.extent for each in avoided)
    free = (_whole_pages(part) for whole in ram for part in outside(blocked, whole))
    return Usable(
        free=tuple(each for each in free if each.start <= each.end), avoided=_ascending(avoided)
    )


def cut_by_command_line(cmdline: str) -> tuple[Avoided, ...]:
    """What a kernel with this command line does not take for System RAM."""
    return tuple(Avoided(each.start, each.end, _CUT_WHY) for each in cut_by(cmdline))


def _ascending(avoided: Iterable[Avoided]) -> tuple[Avoided, ...]:
    return tuple(sorted(avoided, key=lambda each: (each.start, each.end, each.why)))


def _plugged_in(ram: tuple[Interval, ...], at_boot: Iterable[E820Entry]) -> Iterator[Avoided]:
    """System RAM that was not there at boot; none where the kernel does not show what was."""
    told = (e for e in at_boot if e.type == E820_RAM)
    there = union(Interval(e.start, e.start + e.size - 1) for e in told)
    for whole in ram if there else ():
        for part in outside(there, whole):
            if part.end >= LOW_MEMORY:
                yield Avoided(part.start, part.end, "not there when this kernel was started")


def _taken(ram: tuple[Interval, ...], iomem: tuple[Resource, ...]) -> Iterator[Avoided]:
    """What /proc/iomem says against memory that the memory map calls System RAM."""
    shown = union(each.extent for each in iomem if each.name == _RAM)
    for whole in ram:
        for part in outside(shown, whole):
            if part.end >= LOW_MEMORY:  # below it, there are more reasons than this one
                yield Avoided(part.start, part.end, "no System RAM in /proc/iomem")
    for resource in _claims(iomem):
        if any(within(ram, resource.extent)):
            yield Avoided(resource.start, resource.end, f"{resource.name} in /proc/iomem")


def _claims(iomem: tuple[Resource, ...]) -> Iterator[Resource]:
    """The resources that are to be left alone, though they lie in System RAM."""
    above: list[Resource] = []
    for resource in iomem:
        while above and above[-1].depth >= resource.depth:
            above.pop()
        in_ram = any(each.name == _RAM for each in above)
        above.append(resource)
        if resource.name == _RAM or resource.name.startswith(_OF_THIS_KERNEL):
            continue
        if in_ram or resource.name.lower() in _TAKEN_ANYWHERE:
            yield resource


def _whole_pages(part: Interval) -> Interval:
    start = -(-part.start // PAGE_SIZE) * PAGE_SIZE
    end = (part.end + 1) // PAGE_SIZE * PAGE_SIZE - 1
    return Interval(start, end)
