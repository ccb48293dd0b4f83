# SPDX-License-Identifier: LGPL-2.1-or-later
"""Arithmetic on address ranges with inclusive ends."""

import random

import pytest

from kexecprepd.core.intervals import Interval, covers, overlapping_pairs, touching, union
from kexecprepd.core.snapshot import MemoryRange


def pairs(*intervals: tuple[int, int]) -> list[tuple[Interval, Interval]]:
    return list(overlapping_pairs([Interval(*each) for each in intervals], lambda each: each))


def test_a_union_joins_what_overlaps_or_touches() -> None:
    united = union(Interval(*each) for each in [(30, 39), (0, 9), (10, 19), (5, 7), (21, 29)])

    assert united == ((0, 19), (21, 39))


def test_a_union_leaves_out_ranges_that_end_before_they_begin() -> None:
    assert union([Interval(5, 4), Interval(7, 7)]) == ((7, 7),)


@pytest.mark.parametrize(
    ("start", "end", "covered"),
    [
        (0, 9, True),
        (3, 3, True),
        (0, 10, False),
        (10, 10, False),
        (15, 20, False),
        (20, 29, True),
        (19, 29, False),
        (30, 30, False),
    ],
)
def test_covers_is_exact_to_the_byte(start: int, end: int, covered: bool) -> None:
    assert covers(union([Interval(0, 9), Interval(20, 29)]), Interval(start, end)) is covered


def test_nothing_is_covered_by_nothing() -> None:
    assert not covers((), Interval(0, 0))


def test_touching_means_sharing_an_address() -> None:
    ranges = [(0, 9), (10, 10), (11, 20), (0, 30)]
    items = [MemoryRange(number, *each, "Reserved") for number, each in enumerate(ranges)]

    assert [item.number for item in touching(items, Interval(10, 10))] == [1, 3]


def test_adjacent_ranges_do_not_overlap() -> None:
    assert pairs((0, 9), (10, 19), (20, 29)) == []


def test_one_shared_address_is_an_overlap() -> None:
    assert pairs((9, 19), (0, 9)) == [((0, 9), (9, 19))]


def test_a_long_range_overlaps_all_that_lie_in_it() -> None:
    assert pairs((0, 99), (10, 19), (30, 39)) == [
        ((0, 99), (10, 19)),
        ((0, 99), (30, 39)),
    ]


def test_whoever_overlaps_an_earlier_one_is_in_a_pair() -> None:
    chosen = random.Random(4)
    for _ in range(200):
        starts = [chosen.randrange(60) for _ in range(8)]
        intervals = [Interval(start, start + chosen.randrange(12)) for start in starts]
        found = pairs(*intervals)

        assert all(first.end >= second.start >= first.start for first, second in found)
        expected = sorted(
            each
            for at, each in enumerate(sorted(intervals))
            if any(other.end >= each.start for other in sorted(intervals)[:at])
        )
        assert sorted(second for _, second in found) == expected
