# SPDX-License-Identifier: LGPL-2.1-or-later
"""Memory that is listed and not there: out of the map that is passed on, and kept out of."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given

from kexecprepd.abi.bootparam import E820_RAM, E820Entry
from kexecprepd.abi.setup_data import SETUP_E820_EXT
from kexecprepd.core.intervals import Interval
from kexecprepd.core.placement import excluded_ranges
from kexecprepd.core.presence import absent_memory, cut_memory, missing_memory, present_memory_map
from kexecprepd.core.snapshot import (
    KernelTraits,
    MemoryBlocks,
    MemoryRange,
    SetupData,
    Snapshot,
    e820_at_boot,
)
from tests.support.made_up import EXAMPLES, snapshots
from tests.support.recordings import FIRST_KERNEL
from tests.support.snapshots import read_snapshot, recorded

GIB = 1 << 30
BLOCK = 128 << 20


@pytest.fixture
def snapshot(tree: Path) -> Snapshot:
    """With System RAM from 4 GiB to 8 GiB, and all of it there."""
    blocks = MemoryBlocks(BLOCK, tuple(range(64)))
    return replace(read_snapshot(tree), memory_blocks=blocks)


def without(snapshot: Snapshot, *numbers: int, cmdline: str = "") -> Snapshot:
    """Some blocks of memory gone, as the kernel with a command line sees it."""
    left = tuple(n for n in range(64) if n not in numbers)
    return replace(
        snapshot,
        memory_blocks=MemoryBlocks(BLOCK, left),
        kernel=KernelTraits(cmdline, False, None),
    )


def listed(snapshot: Snapshot) -> list[tuple[int, int, str]]:
    return [(each.start, each.end, each.type) for each in snapshot.memory_map or ()]


def above(snapshot: Snapshot) -> list[tuple[int, int, str]]:
    """What is passed on of the memory above 4 GiB."""
    ranges = present_memory_map(snapshot)
    return [(each.start, each.end, each.type) for each in ranges if each.start >= 4 * GIB]


def test_a_machine_with_all_its_memory_passes_its_map_on(snapshot: Snapshot) -> None:
    passed = [(each.start, each.end, each.type) for each in present_memory_map(snapshot)]
    assert passed == sorted(listed(snapshot))


def test_what_is_absent_is_cut_out_wherever_it_is(snapshot: Snapshot) -> None:
    assert above(without(snapshot, 32, 40, 41, 63)) == [
        (4 * GIB + BLOCK, 5 * GIB - 1, "System RAM"),
        (5 * GIB + 2 * BLOCK, 8 * GIB - BLOCK - 1, "System RAM"),
    ]
    assert above(without(snapshot, *range(32, 64))) == []


def test_a_range_that_ends_with_the_first_byte_above_4_gib_is_absent_from_there_on(
    snapshot: Snapshot,
) -> None:
    odd = MemoryRange(0, 3 * GIB, 4 * GIB, "System RAM")
    seen = without(replace(snapshot, memory_map=(odd,)), 32)

    assert [part for _, part in missing_memory(seen)] == [Interval(4 * GIB, 4 * GIB)]


def test_a_range_that_is_listed_twice_is_cut_twice(snapshot: Snapshot) -> None:
    again = MemoryRange(99, 5 * GIB, 6 * GIB - 1, "System RAM")
    twice = replace(snapshot, memory_map=(*(snapshot.memory_map or ()), again))
    assert all(
        end < 5 * GIB or start >= 6 * GIB for start, end, _ in above(without(twice, *range(40, 48)))
    )


def test_other_memory_is_passed_on_whether_it_is_there_or_not(snapshot: Snapshot) -> None:
    others = (
        MemoryRange(90, 16 * GIB, 17 * GIB - 1, "Persistent Memory"),
        MemoryRange(91, 18 * GIB, 17 * GIB, "System RAM"),
    )
    more = replace(snapshot, memory_map=(*(snapshot.memory_map or ()), *others))
    assert above(more)[1:] == [(each.start, each.end, each.type) for each in others]


def test_the_map_that_is_passed_on_is_numbered_as_it_lies(snapshot: Snapshot) -> None:
    ranges = present_memory_map(without(snapshot, 40))
    assert [each.number for each in ranges] == list(range(len(ranges)))
    assert [each.start for each in ranges] == sorted(each.start for each in ranges)


def test_absent_memory_is_excluded_in_its_place(snapshot: Snapshot) -> None:
    excluded = excluded_ranges(without(snapshot, 40, 41))
    assert [each.start for each in excluded] == sorted(each.start for each in excluded)
    (absent,) = [each for each in excluded if "not present" in each.why]
    assert absent.extent == Interval(5 * GIB, 5 * GIB + 2 * BLOCK - 1)


def test_what_the_command_line_cut_is_passed_on_and_not_excluded(snapshot: Snapshot) -> None:
    cut = without(snapshot, *range(40, 64), cmdline="mem=5G")
    assert above(cut) == [(4 * GIB, 8 * GIB - 1, "System RAM")]
    assert excluded_ranges(cut) == excluded_ranges(snapshot)


def test_memory_can_be_unplugged_from_below_what_was_cut(snapshot: Snapshot) -> None:
    both = without(snapshot, 32, *range(40, 64), cmdline="mem=5G")
    assert above(both) == [(4 * GIB + BLOCK, 8 * GIB - 1, "System RAM")]


@EXAMPLES
@given(snapshot=snapshots())
def test_missing_memory_is_either_absent_or_cut(snapshot: Snapshot) -> None:
    absent, cut = absent_memory(snapshot), cut_memory(snapshot)
    parts = sorted((part for _, part in (*absent, *cut)))
    sizes = [part.end - part.start + 1 for _, part in missing_memory(snapshot)]
    assert sum(part.end - part.start + 1 for part in parts) == sum(sizes)


def test_a_list_of_nodes_alone_is_no_memory_map_at_boot() -> None:
    params = recorded(FIRST_KERNEL).boot_params
    assert params is not None
    last = E820Entry(0, 0x1000, E820_RAM)
    nodes = [SetupData(SETUP_E820_EXT, (last,))]

    assert e820_at_boot(params, nodes) == (*params.e820, last)
    assert e820_at_boot(replace(params, e820=()), nodes) == ()


def test_of_two_ranges_that_begin_together_the_shorter_one_comes_first(snapshot: Snapshot) -> None:
    ranges = (MemoryRange(0, 0, 0x1FFF, "Reserved"), MemoryRange(1, 0, 0xFFF, "Reserved"))

    assert listed(
        replace(snapshot, memory_map=present_memory_map(replace(snapshot, memory_map=ranges)))
    ) == [(0, 0xFFF, "Reserved"), (0, 0x1FFF, "Reserved")]
