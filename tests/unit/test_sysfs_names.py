# SPDX-License-Identifier: LGPL-2.1-or-later
"""Names in sysfs that the kernel does not give today, or never: read, refused, and told of."""

import os
from pathlib import Path

import pytest

from kexecprepd.core.finding import Severity, State
from kexecprepd.core.unreadable import Unreadable
from kexecprepd.core.verdict import assess
from kexecprepd.reading import sysfs
from tests.support.findings import findings_of
from tests.support.recordings import (
    MEMMAP,
    MEMORY_BLOCKS,
    RUNTIME_MAP,
    SETUP_DATA,
    add_range,
    set_memory_blocks,
    write,
)
from tests.support.snapshots import read_snapshot


def test_a_file_that_a_coming_kernel_adds_is_noted_once(tree: Path) -> None:
    for number in range(6):
        write(tree, f"{RUNTIME_MAP}/{number}/flags", "0x0\n")
    write(tree, f"{MEMMAP}/3/node", "0\n")

    findings = findings_of(tree)

    assert [finding.details["file"] for finding in findings] == ["memmap/node", "runtime-map/flags"]
    assert {finding.severity for finding in findings} == {Severity.INFO}
    assert assess(read_snapshot(tree)).state is State.READY


def test_what_a_file_says_that_is_not_known_is_not_read(tree: Path) -> None:
    os.mkfifo(tree / RUNTIME_MAP / "0/flags")  # reading it would never end

    assert assess(read_snapshot(tree)).state is State.READY


@pytest.mark.parametrize("name", [b"\xff\xfe", b"fl\nags", b"0\xc3("])
def test_a_name_that_cannot_be_shown_is_escaped(name: bytes, tree: Path) -> None:
    (tree / RUNTIME_MAP / "0" / os.fsdecode(name)).touch()

    (finding,) = findings_of(tree)

    told = str(finding.details["file"])
    assert told.startswith("runtime-map/")
    assert "\n" not in told
    told.encode()  # as D-Bus and JSON do


@pytest.mark.parametrize("top", [RUNTIME_MAP, MEMMAP, SETUP_DATA])
@pytest.mark.parametrize("name", [b"\xff", b"1\n", b"2147483648", b"18446744073709551616"])
def test_a_number_that_is_none_is_refused_in_words_that_can_be_sent(
    top: str, name: bytes, tree: Path
) -> None:
    (tree / top / os.fsdecode(name)).mkdir(parents=True)

    reading = sysfs.read_snapshot(tree)

    assert isinstance(reading, Unreadable)
    assert reading.code == "sysfs-malformed"
    assert "\n" not in str(reading)
    assess(reading).reason.encode()


def test_a_folder_that_is_not_utf_8_is_named_all_the_same(tmp_path: Path) -> None:
    reading = sysfs.read_snapshot(tmp_path / os.fsdecode(b"\xff"))

    assert isinstance(reading, Unreadable)
    assert "\\xff" in reading.path


def test_the_greatest_number_that_the_kernel_counts_to_is_read(tree: Path) -> None:
    number = add_range(tree, 0xD000_0000, 0xD000_0FFF, "Reserved")
    (tree / MEMMAP / str(number)).rename(tree / MEMMAP / str((1 << 31) - 1))

    assert (read_snapshot(tree).memory_map or ())[-1].number == (1 << 31) - 1


@pytest.mark.parametrize(("size", "number"), [(1 << 63, 2), (1 << 27, 1 << 64)])
def test_blocks_of_memory_beyond_64_bits_are_refused(size: int, number: int, tree: Path) -> None:
    set_memory_blocks(tree, size, (number,))

    reading = sysfs.read_snapshot(tree)

    assert isinstance(reading, Unreadable)
    assert reading.path.startswith(str(tree / MEMORY_BLOCKS))
