# SPDX-License-Identifier: LGPL-2.1-or-later
"""The memory map as the next kernel is given it."""

import struct
from dataclasses import replace

import pytest

from kexecprepd.abi.bootparam import E820Entry
from kexecprepd.loader.e820 import entries, extension, table
from kexecprepd.loader.errors import LoadError
from tests.support.kernels import memory_map
from tests.support.recordings import HEALTHY
from tests.support.snapshots import recorded

RAM = (0x10_0000, 0x7FFF_FFFF, "System RAM")


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("System RAM", 1),
        ("Reserved", 2),
        ("reserved", 2),
        ("ACPI Tables", 3),
        ("ACPI Non-volatile Storage", 4),
        ("Unusable memory", 5),
        ("Persistent Memory", 7),
        ("Persistent Memory (legacy)", 12),
        ("Soft Reserved", 0xEFFF_FFFF),
        ("Unknown E820 type", 2),
        ("Uncached RAM", 2),
        ("of a kernel to come", 2),
    ],
)
def test_each_type_keeps_its_number(name: str, number: int) -> None:
    found = entries(memory_map(RAM, (0x8000_0000, 0x8000_0FFF, name)))

    assert found[1] == E820Entry(0x8000_0000, 0x1000, number)


@pytest.mark.parametrize("name", HEALTHY)
def test_a_kernel_is_given_the_map_that_the_one_before_it_was(name: str) -> None:
    snapshot = recorded(name)
    assert snapshot.boot_params is not None
    assert snapshot.memory_map is not None

    given = entries(snapshot.memory_map)

    # Where the setup_data of the kernel before lay (E820_TYPE_RESERVED_KERN) is RAM again.
    told = (replace(e, type=1) if e.type == 128 else e for e in snapshot.boot_params.e820)
    assert merged(given) == merged(tuple(told))


def merged(listed: tuple[E820Entry, ...]) -> list[tuple[int, int, int]]:
    found: list[tuple[int, int, int]] = []
    for entry in sorted(listed, key=lambda each: each.start):
        if found and found[-1][1:] == (entry.start, entry.type):
            found[-1] = (found[-1][0], entry.start + entry.size, entry.type)
        else:
            found.append((entry.start, entry.start + entry.size, entry.type))
    return found


def test_entries_ascend() -> None:
    found = entries(memory_map((0x8000_0000, 0x8000_0FFF, "Reserved"), RAM))

    assert [each.start for each in found] == [0x10_0000, 0x8000_0000]


def many(count: int) -> tuple[E820Entry, ...]:
    return tuple(E820Entry(n << 20, 0x1000, 1) for n in range(1, count + 1))


def test_128_entries_fit_the_table() -> None:
    assert len(table(many(128))) == 128 * 20
    assert extension(many(128)) is None


def test_the_129th_goes_into_the_extension() -> None:
    assert table(many(130)) == table(many(128))
    expected = struct.pack("<QQIQQI", 129 << 20, 0x1000, 1, 130 << 20, 0x1000, 1)
    assert extension(many(130)) == expected


def test_an_entry_is_20_bytes() -> None:
    packed = table((E820Entry(0x1_2345_6000, 0x7000, 0xEFFF_FFFF),))

    assert packed == bytes.fromhex("0060452301000000 0070000000000000 ffffffef")


@pytest.mark.parametrize(("start", "end"), [(0x2000, 0x0FFF), (0x2000, 0x1FFF), (0, (1 << 64) - 1)])
def test_a_range_without_a_size_that_can_be_told_is_refused(start: int, end: int) -> None:
    with pytest.raises(LoadError, match=r"^Entry 1 "):
        entries(memory_map(RAM, (start, end, "Reserved")))


def test_a_map_without_ram_is_refused() -> None:
    with pytest.raises(LoadError, match="no memory map with System RAM"):
        entries(memory_map((0, 0xFFF, "Reserved")))
