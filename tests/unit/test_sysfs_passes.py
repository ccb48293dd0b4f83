# SPDX-License-Identifier: LGPL-2.1-or-later
"""Reading a tree that changes meanwhile: what is returned is whole, or nothing is.

Python tells of a file that is about to be opened: at one of them a test changes the tree.
"""

import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import pytest

from kexecprepd.core.snapshot import MemoryRange
from kexecprepd.core.unreadable import Unreadable
from kexecprepd.reading import sysfs
from kexecprepd.reading.sysfs import MAX_PASSES
from tests.support.recordings import MEMMAP, add_range, remove, set_region, write
from tests.support.snapshots import read_snapshot

Step = Callable[[], None]


def nothing() -> None:
    """Let the reader read on in an unchanged tree."""


_steps: dict[str, Iterator[Step]] = {}
"""What to do when a file of this name, below sys/, is about to be opened the next time."""


def _about_to_open(event: str, arguments: tuple[object, ...]) -> None:
    if event == "open" and _steps:
        for step in islice(_steps.get(str(arguments[0]), iter(())), 1):
            step()


sys.addaudithook(_about_to_open)


@contextmanager
def stopping_at(path: Path, steps: Sequence[Step]) -> Iterator[None]:
    """Take the next step before each of the next readings of a file, and let it read on."""
    name = str(path).partition("/sys/")[2]
    _steps[name] = left = iter(steps)
    try:
        yield
    finally:
        del _steps[name]
    assert not list(left), "the file was read less often than there are steps"


def ranges(root: Path) -> tuple[MemoryRange, ...]:
    memory_map = read_snapshot(root).memory_map
    assert memory_map is not None
    return memory_map


def test_an_unchanged_tree_is_read_twice(tree: Path) -> None:
    with stopping_at(tree / MEMMAP / "5/start", [nothing, nothing]):
        read_snapshot(tree)


def test_a_tree_that_changes_within_a_pass_is_read_until_two_passes_agree(tree: Path) -> None:
    def shift() -> None:  # one range before the reader's place and one behind it
        write(tree, f"{MEMMAP}/3/end", "0x80efff\n")
        write(tree, f"{MEMMAP}/7/end", "0x7f4eafff\n")

    with stopping_at(tree / MEMMAP / "5/start", [shift, nothing]):
        read = ranges(tree)

    assert (read[3].end, read[7].end) == (0x80_EFFF, 0x7F4E_AFFF)


def test_an_entry_that_vanishes_under_the_reader_is_no_failure(tree: Path) -> None:
    with stopping_at(tree / MEMMAP / "5/start", [lambda: remove(tree, f"{MEMMAP}/8"), nothing]):
        read = ranges(tree)

    numbers = [each.number for each in read]
    assert 8 not in numbers
    assert {7, 9} <= set(numbers)


def test_an_entry_that_appears_behind_the_reader_is_not_missed(tree: Path) -> None:
    def plug() -> None:
        add_range(tree, 0x2_0000_0000, 0x2_7FFF_FFFF, "System RAM")

    with stopping_at(tree / MEMMAP / "5/start", [plug, nothing]):
        read = ranges(tree)

    assert read[-1].start == 0x2_0000_0000


def test_a_change_in_another_part_of_the_tree_counts_too(tree: Path) -> None:
    # The runtime map has been read when the reader stops in the memory map.
    with stopping_at(
        tree / MEMMAP / "5/start", [lambda: set_region(tree, 0, num_pages=0x200), nothing]
    ):
        snapshot = read_snapshot(tree)

    assert snapshot.runtime_map is not None
    assert snapshot.runtime_map[0].num_pages == 0x200


def test_an_error_that_does_not_repeat_is_forgotten(tree: Path) -> None:
    write(tree, f"{MEMMAP}/7/start", "")

    def another_error() -> None:
        write(tree, f"{MEMMAP}/7/start", "0x7eba2000\n")
        write(tree, f"{MEMMAP}/8/start", "")

    def repair() -> None:
        write(tree, f"{MEMMAP}/8/start", "0x7f4ec000\n")

    with stopping_at(tree / MEMMAP / "5/start", [nothing, another_error, repair]):
        read = ranges(tree)

    assert (read[7].start, read[8].start) == (0x7EBA_2000, 0x7F4E_C000)


def test_an_error_that_repeats_is_told_after_two_passes(tree: Path) -> None:
    write(tree, f"{MEMMAP}/7/start", "")

    with stopping_at(tree / MEMMAP / "5/start", [nothing, nothing]):
        reading = sysfs.read_snapshot(tree)

    assert isinstance(reading, Unreadable)
    assert (reading.unstable, reading.transient) == (False, False)


@pytest.mark.parametrize("passes", [2, 3, MAX_PASSES])
def test_a_tree_that_never_rests_is_given_up_after_the_bound(tree: Path, passes: int) -> None:
    ends = iter(range(0x7F4E_0FFF, 0x7F4F_0000, 0x1000))

    def shift() -> None:
        write(tree, f"{MEMMAP}/7/end", f"{next(ends):#x}\n")

    with stopping_at(tree / MEMMAP / "5/start", [shift] * passes):
        reading = sysfs.read_snapshot(tree, passes=passes)

    assert isinstance(reading, Unreadable)
    assert (reading.code, reading.transient) == ("sysfs-unstable", True)
    assert str(passes) in reading.problem
    assert reading.hint


def test_no_reading_mixes_two_states_of_a_busy_tree(tree: Path) -> None:
    remove(tree, MEMMAP)
    generations = 300
    for number in range(generations):
        first = tree / f"sys/firmware/map.{number}/0"
        write(first, "start", f"{number:#x}\n")
        write(first, "type", f"state {number}\n")
        os.link(first / "start", first / "end")
        for entry in range(1, 8):
            other = first.with_name(f"{entry}")
            other.mkdir()
            for name in ("start", "end", "type"):
                os.link(first / name, other / name)
    link, new = tree / MEMMAP, tree / "new"

    def show(number: int) -> None:
        new.symlink_to(f"map.{number}")
        new.replace(link)

    def change() -> None:
        for number in range(1, generations):
            show(number)

    show(0)
    writer = threading.Thread(target=change)
    writer.start()
    seen = []
    while True:
        last = not writer.is_alive()
        reading = sysfs.read_snapshot(tree)
        if isinstance(reading, Unreadable):
            assert reading.unstable
            assert not last
        else:
            seen.append({(each.start, each.end, each.type) for each in reading.memory_map or ()})
        if last:
            break
    writer.join()

    assert [len(values) for values in seen] == [1] * len(seen)
    last_number = generations - 1
    assert seen[-1] == {(last_number, last_number, f"state {last_number}")}
