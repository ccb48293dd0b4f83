# SPDX-License-Identifier: LGPL-2.1-or-later
"""Which memory a command line takes away from a kernel."""

import pytest

from kexecprepd.core.cut import cut_by
from kexecprepd.core.intervals import Interval

U64 = (1 << 64) - 1
MIB = 1 << 20
GIB = 1 << 30


def size_of(cmdline: str) -> int:
    """Where mem= cuts."""
    ((start, end),) = cut_by(cmdline)
    assert end == U64
    return start


@pytest.mark.parametrize(
    ("value", "size"),
    [
        ("6G", 6 * GIB),
        ("6g", 6 * GIB),
        ("4096M", 4 * GIB),
        ("4194304K", 4 * GIB),
        ("1T", 1 << 40),
        ("1P", 1 << 50),
        ("1E", 1 << 60),
        ("0x40000000", GIB),
        ("0X4M", 4 * MIB),
        ("010M", 8 * MIB),
        ("1073741824", GIB),
    ],
)
def test_a_size_is_read_as_the_kernel_reads_it(value: str, size: int) -> None:
    assert size_of(f"mem={value}") == size


@pytest.mark.parametrize(
    "cmdline",
    [
        "",
        "quiet",
        "mem",
        "mem=",
        "mem=0",
        "mem=nopentium",
        "mem=-1",
        "memory=6G",
        "xmem=6G",
        "hugepages=mem",
        "memmap=",
        "memmap=nn[KMG]",
        "memmap=1G$",
        "memmap=0$4G",
        "memmap=0$6K",
        "memmap=1G?4G",
        "memmap=1G@4G",
        "init=/bin/sh -- mem=6G",
        'dyndbg="file x mem=6G"',
    ],
)
def test_what_is_no_such_option_cuts_nothing(cmdline: str) -> None:
    assert cut_by(cmdline) == ()


@pytest.mark.parametrize("sign", "$#!")
def test_memmap_takes_a_range_for_something_else(sign: str) -> None:
    assert cut_by(f"memmap=1G{sign}4G") == (Interval(4 * GIB, 5 * GIB - 1),)


def test_memmap_takes_a_range_by_its_types() -> None:
    assert cut_by("memmap=1G%4G-1+7") == (Interval(4 * GIB, 5 * GIB - 1),)


def test_memmap_with_a_size_alone_is_mem() -> None:
    assert cut_by("memmap=5G") == cut_by("mem=5G")


def test_the_options_add_up() -> None:
    assert cut_by("mem=8G quiet memmap=1G$4G,1G!5G memmap=64M$7G") == (
        Interval(4 * GIB, 6 * GIB - 1),
        Interval(7 * GIB, 7 * GIB + 64 * MIB - 1),
        Interval(8 * GIB, U64),
    )


def test_with_exactmap_there_is_only_what_is_given() -> None:
    assert cut_by("memmap=1G@0 memmap=exactmap memmap=640K@0 memmap=1G@1M,1G@4G") == (
        Interval(640 << 10, MIB - 1),
        Interval(GIB + MIB, 4 * GIB - 1),
        Interval(5 * GIB, U64),
    )


def test_memory_can_be_given_back() -> None:
    assert cut_by("mem=4G memmap=1G@6G") == (
        Interval(4 * GIB, 6 * GIB - 1),
        Interval(7 * GIB, U64),
    )


def test_what_is_left_of_a_page_is_none() -> None:
    assert cut_by("memmap=0x1800$0x100800") == (Interval(0x10_0000, 0x10_1FFF),)
    assert size_of("mem=0x100800") == 0x10_0000


def test_a_range_that_reaches_too_far_ends_with_the_addresses() -> None:
    assert cut_by("memmap=0xffffffffffffffff$4G") == (Interval(4 * GIB, U64),)


def test_a_size_beyond_64_bits_wraps_as_it_does_in_the_kernel() -> None:
    assert cut_by("mem=16777217T") == cut_by("mem=1T") != ()
