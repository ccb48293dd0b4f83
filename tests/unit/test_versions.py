# SPDX-License-Identifier: LGPL-2.1-or-later
"""The newer of two versions is the one that boot loaders call so."""

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kexecprepd.loader.versions import compare, key
from tests.support.made_up import EXAMPLES

# The order that the specification gives as its example, from the oldest to the newest.
ORDERED = (
    "122.1",
    "123~rc1-1",
    "123",
    "123-a",
    "123-a.1",
    "123-1",
    "123-1.1",
    "123^post1",
    "123.a-1",
    "123.1-1",
    "123a-1",
    "124-1",
)


@pytest.mark.parametrize(("older", "newer"), list(combinations(ORDERED, 2)))
def test_the_order_is_the_specification_s(older: str, newer: str) -> None:
    assert compare(older, newer) < 0
    assert compare(newer, older) > 0


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        ("6.1.0-9-amd64", "6.1.0-10-amd64"),
        ("6.1.0-56-amd64", "6.12.0-1-amd64"),
        ("6.11~rc5-amd64", "6.11-amd64"),
        ("5.14.0-70.el9.x86_64", "5.14.0-162.el9.x86_64"),
        ("", "1"),
        ("~", ""),
        ("1", "18446744073709551616"),
    ],
)
def test_kernels(older: str, newer: str) -> None:
    assert compare(older, newer) < 0 < compare(newer, older)


@pytest.mark.parametrize(("one", "other"), [("1.01", "1.1"), ("a_1", "a1"), ("+1", "1_")])
def test_what_makes_no_difference(one: str, other: str) -> None:
    assert compare(one, other) == 0


TEXTS = st.text(alphabet="012ab.-~^_", max_size=6)


@EXAMPLES
@given(TEXTS, TEXTS, TEXTS)
def test_it_is_an_order(one: str, two: str, three: str) -> None:
    assert compare(one, one) == 0
    assert compare(one, two) == -compare(two, one)
    first, second, third = sorted((one, two, three), key=key)
    assert compare(first, second) <= 0
    assert compare(second, third) <= 0
    assert compare(first, third) <= 0
