# SPDX-License-Identifier: LGPL-2.1-or-later
"""Draws physical memory from 0 upwards, one row for each stretch of it that is alike."""

import sys
import textwrap
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from ..core.intervals import Interval, outside, union
from .output import size
from .terminal import styled

WIDTH = 80
"""Columns."""

_ROWS = 24
"""How many rows there are at most beside the segments'."""

_SMALL = 64 << 10
"""Bytes: what is smaller is joined first where there are too many rows."""

_BAR = 8

_NARROW = 20
"""Columns that the words have at least, however narrow the terminal is."""


class Kind(Enum):
    """What a stretch of memory is."""

    PLACED = auto()
    FREE = auto()
    AVOIDED = auto()
    NO_RAM = auto()
    """The memory map calls it something else than System RAM, or does not list it."""
    MIXED = auto()
    FIRMWARE = auto()
    """The firmware needs it while the system runs."""
    KEPT = auto()
    """It was the firmware's before, and the kernel keeps it."""
    RAM = auto()
    SEVERAL = auto()


_LOOKS = {
    Kind.PLACED: ("█", "#", "placed"),
    Kind.FREE: (" ", " ", "free"),
    Kind.AVOIDED: ("▒", "x", "avoided"),
    Kind.NO_RAM: ("·", ".", "no System RAM"),
    Kind.MIXED: ("░", "~", "avoided in part"),
    Kind.FIRMWARE: ("█", "#", "EFI runtime"),
    Kind.KEPT: ("▒", "x", "EFI boot services"),
    Kind.RAM: (" ", " ", "System RAM"),
    Kind.SEVERAL: ("░", "~", "several"),
}
"""What fills the bar, in Unicode and in ASCII, and what it is called."""

_STYLES = {
    Kind.PLACED: "green",
    Kind.AVOIDED: "yellow",
    Kind.NO_RAM: "grey",
    Kind.MIXED: "yellow",
    Kind.FIRMWARE: "cyan",
    Kind.KEPT: "yellow",
    Kind.SEVERAL: "yellow",
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


def layered(layers: Iterable[Sequence[Stretch]]) -> list[Stretch]:
    """All memory up to the last address of any layer, in order and without gaps: what comes first
    counts where two have something to say of an address.
    """
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


def condensed(
    whole: Sequence[Stretch], rows: int = _ROWS, mixed: Kind = Kind.MIXED
) -> list[Stretch]:
    """The same memory in fewer stretches: alike neighbours are one, and where there are still
    more than `rows` beside the placed ones, small neighbours are joined, then larger ones. What
    unlike ones become is `mixed`.
    """
    shown = _joined(whole, 0, mixed)
    small = _SMALL
    while sum(each.kind is not Kind.PLACED for each in shown) > rows and small < 1 << 64:
        shown = _joined(shown, small, mixed)
        small *= 2
    return shown


def draw(
    shown: Iterable[Stretch],
    *,
    unicode: bool,
    width: int = WIDTH,
    marks: Mapping[int, Sequence[str]] | None = None,
) -> str:
    """One row for each stretch, the lowest address first, at most `width` columns wide.

    `marks` are sentences that stand below the stretch that begins at their address.
    """
    side, top, bottom = ("│", "┌┐", "└┘") if unicode else ("|", "++", "++")
    line = ("─" if unicode else "-") * _BAR
    margin = " " * 12
    lines = [f"{margin} {top[0]}{line}{top[1]}"]
    end = 0
    for each in shown:
        look = _LOOKS[each.kind]
        fill = styled(look[0 if unicode else 1] * _BAR, _STYLES.get(each.kind, ""), sys.stdout)
        bar = f"{side}{fill}{side}"
        room = max(width - len(margin) - _BAR - 11, _NARROW)  # for its sides, blanks and the size
        first, *more = textwrap.wrap(label(each), room, break_on_hyphens=False)
        lines.append(f"{each.start:#012x} {bar} {size(each.size):>5}  {first}")
        for mark in (marks or {}).get(each.start, ()):
            wrapped = textwrap.wrap(mark, room - 2, break_on_hyphens=False)
            more += (f"{'! ' if text is wrapped[0] else '  '}{text}" for text in wrapped)
        lines += (f"{margin} {bar} {'':>5}  {text}" for text in more)
        end = each.end + 1
    lines.append(f"{end:#012x} {bottom[0]}{line}{bottom[1]}")
    return "\n".join(lines)


def _piece(whole: Stretch, part: Interval) -> Stretch:
    free = part.end - part.start + 1 if whole.kind is Kind.FREE else 0
    return Stretch(part.start, part.end, whole.kind, whole.what, free)


def _joined(whole: Iterable[Stretch], small: int, mixed: Kind) -> list[Stretch]:
    """Join neighbours of one kind, and those that are both smaller than `small` bytes."""
    joined: list[Stretch] = []
    for each in whole:
        last = joined[-1] if joined else None
        if (
            last is not None
            and Kind.PLACED not in (last.kind, each.kind)
            and (last.kind is each.kind or (last.size < small and each.size < small))
        ):
            kind = last.kind if last.kind is each.kind else mixed
            what = last.what + each.what
            joined[-1] = Stretch(last.start, each.end, kind, what, last.free + each.free)
        else:
            joined.append(each)
    return joined


def label(each: Stretch) -> str:
    """What a stretch is, in words: its kind, and what is in it."""
    if each.kind in (Kind.PLACED, Kind.FREE):
        return ", ".join(each.what) or _LOOKS[each.kind][2]
    counts = Counter(each.what)
    what = ", ".join(f"{why} ({count})" if count > 1 else why for why, count in counts.items())
    words = _LOOKS[each.kind][2]
    if each.free:
        words = f"{words}, {size(each.free)} free"
    return f"{words}: {what}" if what else words
