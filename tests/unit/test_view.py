# SPDX-License-Identifier: LGPL-2.1-or-later
"""The view of sysfs: read in the kernel's place, it keeps loaders off the firmware's tables."""

import stat
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given

from kexecprepd.core.finding import State
from kexecprepd.core.generation import Handover, first
from kexecprepd.core.intervals import Interval, covers, touching, union
from kexecprepd.core.placement import excluded_ranges
from kexecprepd.core.presence import present_memory_map
from kexecprepd.core.snapshot import MemoryBlocks, MemoryRange, Snapshot
from kexecprepd.core.timestamp import Timestamp
from kexecprepd.core.unreadable import Unreadable
from kexecprepd.core.view import FOLDERS, MEMMAP, RUNTIME_MAP, Folder, view
from kexecprepd.reading import sysfs, view_files
from tests.support import recordings
from tests.support.made_up import EXAMPLES, snapshots
from tests.support.recordings import BOOT_ID, HEALTHY, add_range, materialise, set_region
from tests.support.snapshots import read_snapshot

GIB = 1 << 30
BLOCK = 128 << 20


def handover_of(reading: Snapshot | Unreadable) -> Handover:
    return first(reading, BOOT_ID, Timestamp(1, 1))


def put(root: Path, handover: Handover) -> None:
    """Have the tree show the view in place of the kernel's folders, as binding it there does."""
    for folder, files in view(handover).items():
        if (root / folder.shadows).exists():
            recordings.remove(root, folder.shadows)
        (root / folder.shadows).mkdir(parents=True)
        view_files.write(root / folder.shadows, folder, files)


def ranges(handover: Handover) -> list[tuple[int, int, str]]:
    """The view's memory map, in the order of its numbers."""
    values = {file.path: file.content.decode("ascii") for file in view(handover)[MEMMAP]}
    return [
        (
            int(values[f"{number}/start"], 16),
            int(values[f"{number}/end"], 16),
            values[f"{number}/type"].rstrip("\n"),
        )
        for number in range(len(values) // 3)
    ]


@pytest.mark.parametrize("name", HEALTHY)
def test_read_in_the_kernel_s_place_it_hands_the_same_image_over(name: str, tmp_path: Path) -> None:
    tree = materialise(name, tmp_path / "root")
    handover = handover_of(read_snapshot(tree))
    put(tree, handover)

    through = handover_of(read_snapshot(tree))

    assert through.assessment.sha256 == handover.assessment.sha256 != ""
    assert through.assessment.state in (State.READY, State.DEGRADED)


@pytest.mark.parametrize("name", HEALTHY)
def test_no_system_ram_is_left_in_an_excluded_range(name: str, tmp_path: Path) -> None:
    snapshot = read_snapshot(materialise(name, tmp_path / "root"))
    before = [each for each in snapshot.memory_map or () if each.is_ram]
    kept = [each for each in excluded_ranges(snapshot) if touching(before, each.extent)]
    shown = ranges(handover_of(snapshot))
    memory = [MemoryRange(0, *each) for each in shown]
    ram = [each for each in memory if each.is_ram]

    assert not [each for each in excluded_ranges(snapshot) if touching(ram, each.extent)]
    reserved = union(each.extent for each in memory if each.type == "Reserved")
    assert kept
    assert all(covers(reserved, each.extent) for each in kept)


@pytest.mark.parametrize("name", HEALTHY)
def test_nothing_of_the_kernel_s_map_is_lost(name: str, tmp_path: Path) -> None:
    snapshot = read_snapshot(materialise(name, tmp_path / "root"))
    shown = ranges(handover_of(snapshot))

    assert shown == sorted(shown)
    # Exactly the same addresses, and each with its old type, or reserved.
    assert union(Interval(start, end) for start, end, _ in shown) == union(
        each.extent for each in snapshot.memory_map or ()
    )
    for start, end, kind in shown:
        (whole,) = touching(snapshot.memory_map or (), Interval(start, end))
        assert whole.start <= start <= end <= whole.end
        assert kind == whole.type or (kind, whole.type) == ("Reserved", "System RAM")


def test_a_region_in_the_midst_of_ram_cuts_it_in_three(tree: Path) -> None:
    recordings.remove(tree, recordings.MEMMAP)
    add_range(tree, 0, GIB - 1, "System RAM")
    snapshot = read_snapshot(tree)
    region = min(snapshot.runtime_regions, key=lambda each: each.phys_addr)
    alone = replace(snapshot, runtime_map=(replace(region, phys_addr=0x10_0000, num_pages=2),))

    assert ranges(handover_of(alone)) == [
        (0, 0xF_FFFF, "System RAM"),
        (0x10_0000, 0x10_1FFF, "Reserved"),
        (0x10_2000, GIB - 1, "System RAM"),
    ]


def test_absent_memory_is_left_out(tree: Path) -> None:
    add_range(tree, 8 * GIB, 9 * GIB - 1, "System RAM")
    listed = [each for each in read_snapshot(tree).memory_map or () if each.start >= 4 * GIB]
    there = {n for each in listed for n in range(each.start // BLOCK, each.end // BLOCK + 1)}
    gone = 8 * GIB // BLOCK + 1
    blocks = MemoryBlocks(BLOCK, tuple(sorted(there - {gone})))

    shown = ranges(handover_of(replace(read_snapshot(tree), memory_blocks=blocks)))

    assert [each for each in shown if each[0] >= 8 * GIB] == [
        (8 * GIB, 8 * GIB + BLOCK - 1, "System RAM"),
        (8 * GIB + 2 * BLOCK, 9 * GIB - 1, "System RAM"),
    ]


def test_the_files_are_as_the_kernel_writes_them(tree: Path, tmp_path: Path) -> None:
    """All those of a machine whose own map needs no correction, byte for byte."""
    snapshot = read_snapshot(tree)
    regions = sorted(snapshot.runtime_regions, key=lambda each: each.phys_addr)
    outside_ram = tuple(
        replace(each, number=number)
        for number, each in enumerate(
            region
            for region in regions
            if not [
                m for m in snapshot.memory_map or () if m.is_ram and touching([m], region.extent)
            ]
        )
    )
    corrected = handover_of(replace(snapshot, runtime_map=outside_ram))
    put(tmp_path, corrected)
    by_address = {each.phys_addr: each.number for each in snapshot.runtime_map or ()}

    def compare(folder: Folder, number: int, own: int) -> None:
        shown, kernel = (top / folder.shadows for top in (tmp_path, tree))
        assert files(shown / str(number)) == files(kernel / str(own))

    for number in range(len(snapshot.memory_map or ())):
        compare(MEMMAP, number, number)
    assert outside_ram
    for region in outside_ram:
        compare(RUNTIME_MAP, region.number, by_address[region.phys_addr])


def files(top: Path) -> dict[str, tuple[bytes, int]]:
    """Content and mode of each file in a directory."""
    return {
        each.name: (each.read_bytes(), stat.S_IMODE(each.stat().st_mode)) for each in top.iterdir()
    }


@pytest.mark.parametrize("state", [State.INVALID, State.UNSUPPORTED])
def test_without_an_image_there_are_no_regions(tree: Path, state: State) -> None:
    if state is State.INVALID:
        set_region(tree, 1, num_pages=0)
    else:
        recordings.remove(tree, recordings.RUNTIME_MAP)
    handover = handover_of(read_snapshot(tree))

    assert handover.assessment.state is state
    assert view(handover)[RUNTIME_MAP] == ()
    assert view(handover)[MEMMAP] != ()


def test_where_sysfs_cannot_be_read_there_is_no_memory(tree: Path) -> None:
    (tree / recordings.MEMMAP / "0/start").unlink()
    reading = sysfs.read_snapshot(tree)

    assert isinstance(reading, Unreadable)
    assert view(handover_of(reading)) == dict.fromkeys(FOLDERS, ())


@EXAMPLES
@given(snapshots())
def test_any_machine_has_a_view(snapshot: Snapshot) -> None:
    handover = handover_of(snapshot)
    shown = ranges(handover)
    ram = [MemoryRange(0, *each) for each in shown if each[2] == "System RAM"]

    kept = union(each.extent for each in excluded_ranges(snapshot))
    assert not [each for each in ram if each.start <= each.end and touching_any(kept, each)]
    present = [each for each in present_memory_map(snapshot) if each.start <= each.end]
    assert union(Interval(start, end) for start, end, _ in shown) == union(
        each.extent for each in present
    )


def touching_any(intervals: tuple[Interval, ...], memory: MemoryRange) -> bool:
    return any(each.start <= memory.end and memory.start <= each.end for each in intervals)
