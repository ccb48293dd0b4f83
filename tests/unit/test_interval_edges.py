# SPDX-License-Identifier: LGPL-2.1-or-later
"""Ranges that share one address, or miss each other by one: ends are inclusive."""

import pytest

from kexecprepd.core.intervals import Interval, covers, outside, within

UNITED = (Interval(10, 19), Interval(30, 30), Interval(40, 49))


@pytest.mark.parametrize(
    ("wanted", "inside", "beside"),
    [
        pytest.param((0, 9), [], [(0, 9)], id="just below"),
        pytest.param((0, 10), [(10, 10)], [(0, 9)], id="to the first address"),
        pytest.param((19, 25), [(19, 19)], [(20, 25)], id="from the last address"),
        pytest.param((20, 29), [], [(20, 29)], id="between two"),
        pytest.param((20, 30), [(30, 30)], [(20, 29)], id="to one of a single address"),
        pytest.param((30, 30), [(30, 30)], [], id="a single address"),
        pytest.param((30, 31), [(30, 30)], [(31, 31)], id="a single address beyond"),
        pytest.param((50, 50), [], [(50, 50)], id="just above"),
        pytest.param(
            (19, 40), [(19, 19), (30, 30), (40, 40)], [(20, 29), (31, 39)], id="over all of them"
        ),
    ],
)
def test_every_address_is_inside_or_beside(
    wanted: tuple[int, int], inside: list[tuple[int, int]], beside: list[tuple[int, int]]
) -> None:
    assert list(within(UNITED, Interval(*wanted))) == inside
    assert list(outside(UNITED, Interval(*wanted))) == beside
    assert covers(UNITED, Interval(*wanted)) == (not beside)
