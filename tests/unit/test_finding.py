# SPDX-License-Identifier: LGPL-2.1-or-later
"""Findings of one kind are told once, with the places that they are about."""

import pytest

from kexecprepd.core.finding import Finding, Severity, kinds, listed


def empty(number: int, hint: str = "Update the firmware.") -> Finding:
    message = f"Runtime region {number} (RuntimeServicesData) has no pages."
    return Finding(Severity.ERROR, "region-empty", message, hint, {"region": number})


def test_one_of_a_kind_says_what_it_said() -> None:
    (kind,) = kinds([empty(4)])

    assert kind.message == empty(4).message


def test_several_of_a_kind_are_one_sentence_with_their_regions() -> None:
    (kind,) = kinds([empty(7), empty(1), empty(4)])

    assert kind.message == (
        "Runtime region 7 (RuntimeServicesData) has no pages; 3 cases, in regions 1, 4 and 7."
    )
    assert [finding.details["region"] for finding in kind.findings] == [7, 1, 4]


def test_both_regions_of_a_pair_are_named() -> None:
    pairs = [(1, 2), (2, 5)]
    found = [
        Finding(
            Severity.ERROR,
            "phys-overlap",
            f"Runtime regions {first} and {second} overlap in physical memory.",
            "Report it.",
            {"region": second, "other-region": first},
        )
        for first, second in pairs
    ]

    assert kinds(found)[0].message.endswith("; 2 cases, in regions 1, 2 and 5.")


def test_what_is_about_the_memory_map_names_its_ranges() -> None:
    found = [
        Finding(Severity.INFO, "memmap-type", f"Range {n} is odd.", "None.", {"range": n})
        for n in (3, 9)
    ]

    assert kinds(found)[0].message == "Range 3 is odd; 2 cases, in ranges 3 and 9."


def test_what_is_about_no_place_is_counted() -> None:
    found = [Finding(Severity.INFO, "code", f"Table {name} is odd.", "None.") for name in "ab"]

    assert kinds(found)[0].message == "Table a is odd; 2 cases."


def test_another_hint_makes_another_kind() -> None:
    found = [empty(1), empty(2, "Update the kernel."), empty(3)]

    assert [len(kind.findings) for kind in kinds(found)] == [2, 1]


@pytest.mark.parametrize(
    ("numbers", "text"),
    [
        ([1], "1"),
        ([1, 4], "1 and 4"),
        (range(8), "0, 1, 2, 3, 4, 5, 6 and 7"),
        (range(100), "0, 1, 2, 3, 4, 5, 6, 7 and 92 more"),
    ],
)
def test_a_sentence_stays_short_with_any_number_of_regions(numbers: list[int], text: str) -> None:
    assert listed(numbers) == text
