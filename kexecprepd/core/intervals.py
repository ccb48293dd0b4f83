# SPDX-License-Identifier: LGPL-2.1-or-later
"""Arithmetic on address ranges; ends are inclusive, as in /sys/firmware/memmap."""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, Protocol, TypeVar

Item = TypeVar("Item")


class Interval(NamedTuple):
    """Addresses from `start` to `end`, both inclusive."""

    start: int
    end: int


class HasExtent(Protocol):
    """Something that lies at addresses."""

    @property
    def extent(self) -> Interval:
        """The addresses."""


Placed = TypeVar("Placed", bound=HasExtent)


def union(intervals: Iterable[Interval]) -> tuple[Interval, ...]:
    """The same addresses as ascending intervals that neither overlap nor touch. O(n log n)."""
    merged: list[Interval] = []
    for interval in sorted(intervals):
        if interval.end < interval.start:
            continue
        if merged and interval.start <= merged[-1].end + 1:
            merged[-1] = Interval(merged[-1].start, max(merged[-1].end, interval.end))
        else:
            merged.append(interval)
    return tuple(merged)


def covers(united: tuple[Interval, ...], wanted: Interval) -> bool:
    """Whether one interval of a `union` holds all of `wanted`. O(log n)."""
    at = bisect_right(united, wanted.start, key=lambda interval: interval.start) - 1
    return at >= 0 and wanted.end <= united[at].end


def overlaps(united: tuple[Interval, ...], wanted: Interval) -> bool:
    """Whether any part of `wanted` lies in a `union`. O(log n)."""
    return next(within(united, wanted), None) is not None


def within(united: tuple[Interval, ...], wanted: Interval) -> Iterator[Interval]:
    """The parts of `wanted` that lie in a `union`, ascending. O(log n) and one for each part."""
    at = max(bisect_right(united, wanted.start, key=lambda interval: interval.start) - 1, 0)
    for index in range(at, len(united)):
        interval = united[index]
        if interval.start > wanted.end:
            return
        if interval.end >= wanted.start:
            yield Interval(max(interval.start, wanted.start), min(interval.end, wanted.end))


def outside(united: tuple[Interval, ...], wanted: Interval) -> Iterator[Interval]:
    """The parts of `wanted` that lie in no interval of a `union`, ascending."""
    start = wanted.start
    for inside in within(united, wanted):
        if start < inside.start:
            yield Interval(start, inside.start - 1)
        start = inside.end + 1
    if start <= wanted.end:
        yield Interval(start, wanted.end)


def touching(items: Iterable[Placed], wanted: Interval) -> list[Placed]:
    """The items that share an address with `wanted`."""
    return [
        item
        for item in items
        if item.extent.start <= wanted.end and wanted.start <= item.extent.end
    ]


def overlapping_pairs(
    items: Iterable[Item], of: Callable[[Item], Interval]
) -> Iterator[tuple[Item, Item]]:
    """Pairs of overlapping items, in ascending order; every item that overlaps one that begins
    before it is in a pair with the one of those that reaches furthest. O(n log n), at most n pairs.
    """
    furthest: Item | None = None
    for item in sorted(items, key=lambda item: of(item)):
        if furthest is not None and of(item).start <= of(furthest).end:
            yield furthest, item
        if furthest is None or of(item).end > of(furthest).end:
            furthest = item
