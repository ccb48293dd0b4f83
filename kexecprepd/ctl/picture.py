# SPDX-License-Identifier: LGPL-2.1-or-later
"""Draws physical memory from 0 upwards: what is placed where, what is free, what is avoided."""

import sys
import textwrap
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from ..core.intervals import Interval, outside, union
from ..core.snapshot import MemoryRange
from ..loader.memory import LOW_MEMORY, Usable
from ..loader.plan import Segment
from .output import size
from .terminal import styled

WIDTH = 80
"""Columns."""

_ROWS = 24
"""How many rows there are at most beside the segments'."""

_SMALL = 64 << 10
"""Bytes: what is smaller is joined first where there are too many rows."""

_BAR = 8


class Kind(Enum):
    """What a stretch of memory is."""

    PLACED = auto()
    FREE = auto()
    AVOIDED = auto()
    NO_RAM = auto()
    """The memory map calls it something else than System RAM, or does not list it."""
    MIXED = auto()


_UNICODE = {Kind.PLACED: "█", Kind.AVOIDED: "▒", Kind.MIXED: "░", Kind.NO_RAM: "·", Kind.FREE: " "}
_ASCII = {Kind.PLACED: "#", Kind.AVOIDED: "x", Kind.MIXED: "~", Kind.NO_RAM: ".", Kind.FREE: " "}
_STYLES = {Kind.PLACED: "green", Kind.AVOIDED: "yellow", Kind.MIXED: "yellow", Kind.NO_RAM: "grey"}
_WORDS = {
    Kind.PLACED: "placed",
    Kind.FREE: "free",
    Kind.AVOIDED: "avoided",
    Kind.NO_RAM: "no System RAM",
    Kind.MIXED: "avoided in part",
}


@dataclass(frozen=True, slots=True)
class Stretch:
    """Memory from `start` to `end`, inclusive, that is alike; `what` are names or reasons.

    `free` is how many bytes of it are free.
    """

    start: int
    end: int
    kind: Kind
    what: tuple[str, ...] = ()
    free: int = 0

    @property
    def extent(self) -> Interval:
        """Its physical addresses."""
        return Interval(self.start, self.end)

    @property
    def size(self) -> int:
        """Bytes."""
        return self.end - self.start + 1


def stretches(
    memory_map: Sequence[MemoryRange], usable: Usable, segments: Iterable[Segment]
) -> list[Stretch]:
    """All memory up to the last address that the map lists, in order and without gaps."""
    avoided = [Stretch(a.start, a.end, Kind.AVOIDED, (a.why,)) for a in usable.avoided]
    # What comes first counts where two have something to say of an address.
    layers = (
        [Stretch(s.address, s.address + s.size - 1, Kind.PLACED, (s.name,)) for s in segments],
        [Stretch(f.start, f.end, Kind.FREE) for f in usable.free],
        [each for each in avoided if each.start < LOW_MEMORY],
        [Stretch(r.start, r.end, Kind.NO_RAM, (r.type,)) for r in memory_map if not r.is_ram],
        avoided,
        # What is left of System RAM are pieces of pages.
        [Stretch(r.start, r.end, Kind.AVOIDED, ("no whole page",)) for r in memory_map if r.is_ram],
    )
    found: list[Stretch] = []
    taken: tuple[Interval, ...] = ()
    for layer in layers:
        reached = 0
        for each in sorted(layer, key=lambda each: each.start):
            wanted = Interval(max(each.start, reached), each.end)
            found += (_piece(each, part) for part in outside(taken, wanted))
            reached = max(reached, each.end + 1)
        taken = union((*taken, *(each.extent for each in layer)))
    if taken:
        gaps = outside(taken, Interval(0, taken[-1].end))
        found += (Stretch(gap.start, gap.end, Kind.NO_RAM, ("not listed",)) for gap in gaps)
    return sorted(found, key=lambda each: each.start)


def condensed(whole: Sequence[Stretch], rows: int = _ROWS) -> list[Stretch]:
    """The same memory in fewer stretches: alike neighbours are one, and where there are still
    more than `rows` beside the placed ones, small neighbours are joined, then larger ones.
    """
    shown = _joined(whole, 0)
    small = _SMALL
    while sum(each.kind is not Kind.PLACED for each in shown) > rows and small < 1 << 64:
        shown = _joined(shown, small)
        small *= 2
    return shown


def draw(shown: Iterable[Stretch], *, unicode: bool) -> str:
    """One row for each stretch, the lowest address first, at most WIDTH columns wide."""
    fills = _UNICODE if unicode else _ASCII
    side, top, bottom = ("│", "┌┐", "└┘") if unicode else ("|", "++", "++")
    line = ("─" if unicode else "-") * _BAR
    margin = " " * 12
    lines = [f"{margin} {top[0]}{line}{top[1]}"]
    end = 0
    for each in shown:
        fill = styled(fills[each.kind] * _BAR, _STYLES.get(each.kind, ""), sys.stdout)
        bar = f"{side}{fill}{side}"
        room = WIDTH - len(margin) - _BAR - 11  # for its sides, blanks and the size
        first, *more = textwrap.wrap(_label(each), room, break_on_hyphens=False)
        lines.append(f"{each.start:#012x} {bar} {size(each.size):>5}  {first}")
        lines += (f"{margin} {bar} {'':>5}  {text}" for text in more)
        end = each.end + 1
    lines.append(f"{end:#012x} {bottom[0]}{line}{bottom[1]}")
    return "\n".join(lines)


def _piece(whole: Stretch, part: Interval) -> Stretch:
    free = part.end - part.start + 1 if whole.kind is Kind.FREE else 0
    return Stretch(part.start, part.end, whole.kind, whole.what, free)


def _joined(whole: Iterable[Stretch], small: int) -> list[Stretch]:
    """Join neighbours of one kind, and those that are both smaller than `small` bytes."""
    joined: list[Stretch] = []
    for each in whole:
        last = joined[-1] if joined else None
        if (
            last is not None
            and Kind.PLACED not in (last.kind, each.kind)
            and (last.kind is each.kind or (last.size < small and each.size < small))
        ):
            kind = last.kind if last.kind is each.kind else Kind.MIXED
            what = last.what + each.what
            joined[-1] = Stretch(last.start, each.end, kind, what, last.free + each.free)
        else:
            joined.append(each)
    return joined


def _label(each: Stretch) -> str:
    if each.kind in (Kind.PLACED, Kind.FREE):
        return ", ".join(each.what) or _WORDS[each.kind]
    counts = Counter(each.what)
    what = ", ".join(f"{why} ({count})" if count > 1 else why for why, count in counts.items())
    words = _WORDS[each.kind]
    if each.free:
        words = f"{words}, {size(each.free)} free"
    return f"{words}: {what}" if what else words
