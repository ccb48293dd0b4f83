# SPDX-License-Identifier: LGPL-2.1-or-later
"""Rules for the memory map itself: against itself, against what was there at boot, and now."""

from pathlib import Path

import pytest

from tests.support.damages.damage import GAP
from tests.support.damages.memory import (
    BLOCK,
    GIB,
    blocks,
    boot_services,
    cmdline,
    many_ranges,
    mmio,
    only,
    plug,
)
from tests.support.findings import codes_of, findings_of
from tests.support.recordings import (
    FIRST_KERNEL,
    MEMMAP,
    MEMORY_BLOCKS,
    add_range,
    remove,
    set_e820,
    set_memory_blocks,
    set_range,
    write,
)
from tests.support.snapshots import recorded


def absences(root: Path) -> list[tuple[int, int]]:
    """The absent parts that are told, ascending."""
    parts = []
    for finding in findings_of(root):
        start, end = finding.details["absent-start"], finding.details["absent-end"]
        assert isinstance(start, int)
        assert isinstance(end, int)
        parts.append((start, end))
    return parts


def test_a_single_range_that_is_ram_is_no_excerpt(tree: Path) -> None:
    only(tree, 1 << 20, (1 << 30) - 1, "System RAM")

    assert "memmap-missing" not in codes_of(tree)


def test_absent_blocks_are_told_with_their_extent(tree: Path) -> None:
    blocks(tree, 40, 41, 63)

    assert absences(tree) == [
        (40 * BLOCK, 42 * BLOCK - 1),
        (63 * BLOCK, 64 * BLOCK - 1),
    ]


@pytest.mark.parametrize(
    ("size", "numbers"),
    [
        pytest.param(BLOCK, range(64), id="all"),
        pytest.param(BLOCK, range(32, 64), id="none below 4 GiB"),
        pytest.param(BLOCK, [0, *range(32, 64)], id="holes below 4 GiB"),
        pytest.param(BLOCK, range(100), id="more than the memory map has"),
        pytest.param(2 * GIB, (0, 2, 3), id="blocks of 2 GiB"),
        pytest.param(1 << 63, (0,), id="blocks that end with the address space"),
        pytest.param(BLOCK, (), id="no block is listed"),
    ],
)
def test_memory_that_is_present_is_not_absent(size: int, numbers: range, tree: Path) -> None:
    set_memory_blocks(tree, size, numbers)

    assert not findings_of(tree)


def test_memory_that_ends_within_a_block_of_2_gib_is_present(tree: Path) -> None:
    set_range(tree, 16, end=0x1_87FF_FFFF)
    set_memory_blocks(tree, 2 * GIB, (0, 2, 3))

    assert not findings_of(tree)


def test_of_a_range_across_4_gib_the_part_above_counts(tree: Path) -> None:
    remove(tree, f"{MEMMAP}/15")
    remove(tree, "sys/firmware/efi/runtime-map/5")
    remove(tree, "sys/firmware/efi/runtime-map/0")
    for number in range(1, 5):
        path = tree / "sys/firmware/efi/runtime-map"
        (path / str(number)).rename(path / str(number - 1))
    remove(tree, f"{MEMMAP}/16")
    add_range(tree, 0xE000_0000, 0x1_FFFF_FFFF, "System RAM")
    set_e820(tree, [(0, 0x2_0000_0000, 1)])
    blocks(tree, 30, 31, 32)

    assert absences(tree) == [(4 * GIB, 4 * GIB + BLOCK - 1)]


@pytest.mark.parametrize(
    "iomem",
    [
        pytest.param("1f0000000-1ffffffff : System RAM\n", id="used"),
        pytest.param("00000000-00000000 : Reserved\n", id="shown without addresses"),
        pytest.param("1f0000000-1ffffffff Reserved\n", id="not what the kernel writes"),
    ],
)
def test_absence_that_iomem_does_not_explain_is_told(iomem: str, tree: Path) -> None:
    blocks(tree, 62, 63)
    write(tree, "proc/iomem", iomem)

    assert codes_of(tree) == {"memory-absent"}


def test_of_absent_memory_the_part_that_was_withheld_is_there(tree: Path) -> None:
    blocks(tree, 62, 63)
    write(tree, "proc/iomem", f"{63 * BLOCK:x}-{64 * BLOCK - 1:x} : Reserved\n")

    parts = {
        f.code: (f.details["absent-start"], f.details["absent-end"]) for f in findings_of(tree)
    }

    assert parts == {
        "memory-absent": (62 * BLOCK, 63 * BLOCK - 1),
        "memory-withheld": (63 * BLOCK, 64 * BLOCK - 1),
    }


def test_other_memory_than_ram_need_not_be_present(tree: Path) -> None:
    add_range(tree, 0x10_0000_0000, 0x10_3FFF_FFFF, "Reserved")
    add_range(tree, 0x20_0000_0000, 0x20_3FFF_FFFF, "Persistent Memory")
    blocks(tree)

    assert not findings_of(tree)


def test_a_kernel_without_memory_hotplug_says_nothing_of_presence(tree: Path) -> None:
    blocks(tree, 40)
    remove(tree, f"{MEMORY_BLOCKS}/block_size_bytes")

    assert not findings_of(tree)


def test_offline_blocks_are_present(tree: Path) -> None:
    blocks(tree)
    write(tree, f"{MEMORY_BLOCKS}/memory40/state", "offline\n")

    assert not findings_of(tree)


@pytest.mark.parametrize(
    ("option", "codes"),
    [
        ("mem=5G", "memory-cut"),
        ("mem=6G", "memory-absent"),
        ("memmap=5G", "memory-cut"),
        ("memmap=1G$4G,1G#5G", "memory-cut"),
        ("memmap=1G$6G", "memory-absent"),
        ("memmap=64M$5G", "memory-cut memory-absent"),
        ("hugepages=mem", "memory-absent"),
        ("memory=6G", "memory-absent"),
    ],
)
def test_only_options_that_cut_memory_explain_its_absence(
    option: str, codes: str, tree: Path
) -> None:
    blocks(tree, 40)
    cmdline(tree, option)

    assert codes_of(tree) == {*codes.split()}


def test_mem_on_the_command_line_alone_is_nothing_to_tell(tree: Path) -> None:
    blocks(tree)
    cmdline(tree, "mem=64G")

    assert not findings_of(tree)


def test_without_a_command_line_absence_is_not_explained(tree: Path) -> None:
    blocks(tree, 40)
    remove(tree, "proc/cmdline")

    assert codes_of(tree) == {"memory-absent"}


@pytest.mark.parametrize("start", [0x2_0000_0000, GAP])
def test_plugged_memory_without_a_region_in_it_is_fine(start: int, tree: Path) -> None:
    plug(tree, start)

    assert not findings_of(tree)


@pytest.mark.parametrize("address", [GAP - 0x1000, GAP + BLOCK])
def test_a_region_beside_plugged_memory_is_fine(address: int, tree: Path) -> None:
    plug(tree)
    mmio(tree, address)

    assert not findings_of(tree)


def test_memory_of_a_long_map_at_boot_was_not_plugged_in(tree: Path) -> None:
    # 128 entries are in boot_params, and the 129th, which the region lies in, in a node of its own.
    set_e820(tree, [(0, 0x2_0000_0000, 1)] + [(GAP, 0, 2)] * 127 + [(0x10_0000_0000, GIB, 1)])
    plug(tree, 0x10_0000_0000, GIB)
    boot_services(tree, 0x10_0000_0000)

    assert not findings_of(tree)


def test_memory_is_plugged_in_that_a_long_map_at_boot_does_not_have(tree: Path) -> None:
    set_e820(tree, [(0, 0x2_0000_0000, 1)] + [(GAP, 0, 2)] * 127 + [(0x11_0000_0000, GIB, 1)])
    plug(tree, 0x10_0000_0000, GIB)
    boot_services(tree, 0x10_0000_0000)

    assert codes_of(tree) == {"region-in-plugged-memory"}


def test_without_a_map_at_boot_nothing_was_plugged_in(tree: Path) -> None:
    set_e820(tree, [])
    plug(tree)
    boot_services(tree, GAP)

    assert not findings_of(tree)


def test_the_part_in_plugged_memory_is_told(tree: Path) -> None:
    plug(tree)
    number = mmio(tree, GAP + BLOCK - 0x1000, 2)

    (finding,) = [f for f in findings_of(tree) if f.code == "region-in-plugged-memory"]

    assert finding.details["region"] == number
    assert finding.details["part-start"] == GAP + BLOCK - 0x1000
    assert finding.details["part-end"] == GAP + BLOCK - 1


def test_128_ranges_are_not_too_many() -> None:
    assert not findings_of(many_ranges(recorded(FIRST_KERNEL), 128))


def test_little_ram_is_ram(tree: Path) -> None:
    only(tree, 0, 0x9_FFFF, "System RAM")

    assert "memmap-without-ram" not in codes_of(tree)


def test_an_overlap_of_ranges_names_both_and_its_extent(tree: Path) -> None:
    add_range(tree, 0x1_FFFF_F000, 0x2_0000_0FFF, "Reserved")

    (finding,) = findings_of(tree)

    assert finding.details == {
        "range": 17,
        "other-range": 16,
        "overlap-start": 0x1_FFFF_F000,
        "overlap-end": 0x1_FFFF_FFFF,
    }


def test_an_inverted_range_overlaps_nothing(tree: Path) -> None:
    add_range(tree, 0x7000_0000, 0x1000_0000, "Reserved")

    assert codes_of(tree) == {"memmap-inverted"}


@pytest.mark.parametrize(
    "type",
    [
        "Reserved",
        "reserved",
        "ACPI Tables",
        "ACPI Non-volatile Storage",
        "Unusable memory",
        "Persistent Memory (legacy)",
        "Persistent Memory",
        "Unknown E820 type",
        "Uncached RAM",
    ],
)
def test_the_types_that_kernels_and_loaders_write_are_known(type: str, tree: Path) -> None:
    add_range(tree, GAP, GAP + 0xFFF, type)

    assert not findings_of(tree)


def test_a_range_need_not_begin_or_end_with_a_page(tree: Path) -> None:
    set_range(tree, 0, start=0x400, end=0x9_FBFF)

    assert not findings_of(tree)


@pytest.mark.parametrize("option", ["kernelcore=50%", "kernelcore=", "xkernelcore=mirror"])
def test_other_values_of_kernelcore_lose_nothing(option: str, tree: Path) -> None:
    cmdline(tree, option)

    assert not findings_of(tree)
