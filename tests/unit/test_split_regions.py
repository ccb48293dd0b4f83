# SPDX-License-Identifier: LGPL-2.1-or-later
"""Pieces of one region are joined again, and nothing is that is no piece of it."""

from dataclasses import replace

import pytest

from kexecprepd.core.snapshot import RuntimeRegion, Snapshot
from tests.support.recordings import BGRT_KEXEC_FILE, FIRST_KERNEL
from tests.support.snapshots import recorded

RUNTIME = 1 << 63
WRITE_BACK = 1 << 3
VIRT = 0xFFFF_FFFE_F000_0000

FIRST = RuntimeRegion(0, 4, 0x7D00_0000, VIRT, 3, RUNTIME | WRITE_BACK)
SECOND = replace(FIRST, number=1, phys_addr=0x7D00_3000, num_pages=2)


def kept(pieces: tuple[RuntimeRegion, ...], kernel: str = BGRT_KEXEC_FILE) -> list[tuple[int, int]]:
    """(physical address, pages) of the image's regions in a kernel that shows these."""
    snapshot: Snapshot = replace(recorded(kernel), runtime_map=pieces)
    return [(each.phys_addr, each.num_pages) for each in snapshot.runtime_regions]


APART = [(0x7D00_0000, 3), (0x7D00_3000, 2)]


def test_pieces_of_boot_services_data_are_one_region() -> None:
    assert kept((FIRST, SECOND)) == [(0x7D00_0000, 5)]


def test_the_attribute_that_is_added_makes_no_difference() -> None:
    assert kept((FIRST, replace(SECOND, attribute=WRITE_BACK))) == [(0x7D00_0000, 5)]


def test_three_pieces_are_one_region() -> None:
    third = replace(SECOND, number=2, phys_addr=0x7D00_5000, num_pages=4)

    assert kept((FIRST, SECOND, third)) == [(0x7D00_0000, 9)]


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(replace(SECOND, attribute=RUNTIME), id="another attribute"),
        pytest.param(replace(SECOND, type=3), id="another type of boot services"),
        pytest.param(replace(SECOND, type=6), id="another type"),
        pytest.param(replace(SECOND, virt_addr=VIRT + 0x3000), id="an address of its own"),
    ],
)
def test_what_only_adjoins_stays_apart(other: RuntimeRegion) -> None:
    assert kept((FIRST, other)) == APART
    # And with what differs in the lower of the two.
    lower = replace(other, number=0, phys_addr=FIRST.phys_addr, num_pages=3)
    assert kept((lower, SECOND)) == APART


def test_what_does_not_adjoin_stays_apart() -> None:
    gap = replace(SECOND, phys_addr=0x7D00_4000)

    assert kept((FIRST, gap)) == [(0x7D00_0000, 3), (0x7D00_4000, 2)]


@pytest.mark.parametrize("kind", [3, 5, 6])
def test_regions_of_another_type_are_not_split_and_not_joined(kind: int) -> None:
    assert kept((replace(FIRST, type=kind), replace(SECOND, type=kind))) == APART


def test_a_first_kernel_splits_nothing() -> None:
    assert kept((FIRST, SECOND), FIRST_KERNEL) == APART
