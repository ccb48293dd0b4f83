# SPDX-License-Identifier: LGPL-2.1-or-later
"""Which memory is free for the next kernel, and what is avoided and why."""

import pytest

from kexecprepd.abi.bootparam import E820Entry
from kexecprepd.core.placement import ExcludedRange, excluded_ranges
from kexecprepd.loader.memory import Avoided, Usable, usable
from kexecprepd.reading.iomem import parse
from tests.support.kernels import memory_map, resources, shown_by
from tests.support.recordings import BGRT, FIRST_KERNEL
from tests.support.snapshots import recorded

FIRST_MIB = (0, 0xF_FFFF)
MAP = memory_map(
    (0x0, 0x9_FFFF, "System RAM"),
    (0x10_0000, 0x7FFF_FFFF, "System RAM"),
    (0x8000_0000, 0x8FFF_FFFF, "Reserved"),
)
RAM = (0x10_0000, 0x7FFF_FFFF, "System RAM")


def free(found: Usable) -> list[tuple[int, int]]:
    return [(part.start, part.end) for part in found.free]


def avoided(found: Usable) -> list[tuple[int, int, str]]:
    return [(each.start, each.end, each.why) for each in found.avoided if each.start >= 1 << 20]


def test_what_both_call_system_ram_is_free_without_the_first_mib() -> None:
    found = usable(MAP, shown_by(MAP), ())

    assert free(found) == [(0x10_0000, 0x7FFF_FFFF)]
    assert [(each.start, each.end) for each in found.avoided] == [FIRST_MIB]


def test_excluded_ranges_are_left_out() -> None:
    excluded = [
        ExcludedRange(0x5000_0000, 0x5000_0FFF, "EFI runtime: BootServicesData"),
        ExcludedRange(0x8000_0000, 0x8000_FFFF, "EFI runtime: RuntimeServicesCode"),
    ]

    found = usable(MAP, shown_by(MAP), excluded)

    assert free(found) == [(0x10_0000, 0x4FFF_FFFF), (0x5000_1000, 0x7FFF_FFFF)]
    assert avoided(found) == [(each.start, each.end, each.why) for each in excluded]


@pytest.mark.parametrize(
    ("name", "depth"),
    [("Crash kernel", 1), ("Reserved", 1), ("Reserved", 2), ("GART", 1), ("ACPI Tables", 1)],
)
def test_what_is_nested_in_ram_is_left_out(name: str, depth: int) -> None:
    nested = (0x2000_0000, 0x2FFF_FFFF, name, depth)
    iomem = resources(RAM, (0x1FFF_F000, 0x3FFF_FFFF, "Kernel data", 1), nested)

    found = usable(MAP, iomem, ())

    assert free(found) == [(0x10_0000, 0x1FFF_FFFF), (0x3000_0000, 0x7FFF_FFFF)]
    assert avoided(found) == [(0x2000_0000, 0x2FFF_FFFF, f"{name} in /proc/iomem")]


def test_the_running_kernel_is_not_kept() -> None:
    iomem = resources(
        RAM,
        (0x100_0000, 0x1FF_FFFF, "Kernel code", 1),
        (0x200_0000, 0x2FF_FFFF, "Kernel rodata", 1),
        (0x300_0000, 0x3FF_FFFF, "Kernel data", 1),
        (0x400_0000, 0x4FF_FFFF, "Kernel bss", 1),
    )

    assert free(usable(MAP, iomem, ())) == [(0x10_0000, 0x7FFF_FFFF)]


def test_what_stands_beside_nested_memory_is_not_nested() -> None:
    iomem = resources(
        (0x10_0000, 0x3FFF_FFFF, "System RAM"),
        (0x1000_0000, 0x1FFF_FFFF, "Crash kernel", 1),
        (0x4000_0000, 0x7FFF_FFFF, "CXL Window 0"),
        (0x4000_0000, 0x7FFF_FFFF, "System RAM", 1),
    )

    found = usable(MAP, iomem, ())

    assert free(found) == [(0x10_0000, 0x0FFF_FFFF), (0x2000_0000, 0x7FFF_FFFF)]


@pytest.mark.parametrize("name", ["Reserved", "reserved", "Crash kernel"])
def test_reserved_memory_that_overlaps_ram_is_left_out(name: str) -> None:
    iomem = resources(RAM, (0x7000_0000, 0x8FFF_FFFF, name))

    assert free(usable(MAP, iomem, ())) == [(0x10_0000, 0x6FFF_FFFF)]


def test_ram_that_the_kernel_does_not_use_is_left_out() -> None:
    iomem = resources((0x10_0000, 0x3FFF_FFFF, "System RAM"))  # mem=1G

    found = usable(MAP, iomem, ())

    assert free(found) == [(0x10_0000, 0x3FFF_FFFF)]
    assert avoided(found) == [(0x4000_0000, 0x7FFF_FFFF, "no System RAM in /proc/iomem")]


@pytest.mark.parametrize("name", ["System RAM (kmem)", "System RAM (virtio_mem)"])
def test_memory_that_a_driver_added_is_not_free(name: str) -> None:
    ranges = memory_map((0x10_0000, 0x7FFF_FFFF, "System RAM"))

    assert usable(ranges, resources((0x10_0000, 0x7FFF_FFFF, name)), ()).free == ()


def test_the_first_mib_is_avoided_for_one_reason() -> None:
    iomem = resources((0x1000, 0x9_EFFF, "System RAM"), RAM)

    found = usable(MAP, iomem, ())

    assert [(each.start, each.end) for each in found.avoided] == [FIRST_MIB]


def test_ram_that_the_memory_map_does_not_have_is_not_free() -> None:
    iomem = resources((0x10_0000, 0xFFFF_FFFF, "System RAM"))

    assert free(usable(MAP, iomem, ())) == [(0x10_0000, 0x7FFF_FFFF)]


def test_another_type_at_the_same_address_wins() -> None:
    ranges = memory_map(
        (0x10_0000, 0x7FFF_FFFF, "System RAM"), (0x1000_0000, 0x1000_0FFF, "unusable memory")
    )

    found = usable(ranges, resources(RAM), ())

    assert free(found) == [(0x10_0000, 0x0FFF_FFFF), (0x1000_1000, 0x7FFF_FFFF)]


def test_only_whole_pages_are_free() -> None:
    ranges = memory_map(
        (0x10_0400, 0x20_0BFF, "System RAM"),
        (0x20_0C00, 0x20_1FFF, "ACPI Tables"),
        (0x30_0001, 0x30_1FFE, "System RAM"),
        (0x30_1FFF, 0x30_3000, "Reserved"),
        (0x30_3001, 0x30_3FFF, "System RAM"),
    )

    assert free(usable(ranges, None, ())) == [(0x10_1000, 0x1F_FFFF)]


def test_pages_of_two_ranges_that_touch_are_whole() -> None:
    ranges = memory_map((0x10_0000, 0x20_0017, "System RAM"), (0x20_0018, 0x2F_FFFF, "System RAM"))

    assert free(usable(ranges, None, ())) == [(0x10_0000, 0x2F_FFFF)]


def test_memory_that_was_plugged_in_is_left_out() -> None:
    at_boot = [E820Entry(0x10_0000, 0x3FF0_0000, 1), E820Entry(0x4000_0000, 0x1000, 2)]

    found = usable(MAP, shown_by(MAP), (), at_boot)

    assert free(found) == [(0x10_0000, 0x3FFF_FFFF)]
    assert avoided(found) == [(0x4000_0000, 0x7FFF_FFFF, "not there when this kernel was started")]


def test_of_what_lies_in_the_first_mib_no_more_is_told() -> None:
    found = usable(MAP, shown_by(MAP), (), [E820Entry(0x10_0000, 0x7FF0_0000, 1)])

    assert [(each.start, each.end) for each in found.avoided] == [FIRST_MIB]


def test_where_the_kernel_does_not_tell_what_was_there_at_boot_nothing_is_left_out() -> None:
    assert free(usable(MAP, shown_by(MAP), (), ())) == [(0x10_0000, 0x7FFF_FFFF)]


def test_more_can_be_kept_out() -> None:
    more = Avoided(0x2000_0800, 0x2000_17FF, "mem=")

    found = usable(MAP, shown_by(MAP), ()).without([more])

    assert free(found) == [(0x10_0000, 0x1FFF_FFFF), (0x2000_2000, 0x7FFF_FFFF)]
    assert avoided(found) == [(more.start, more.end, more.why)]


def test_a_region_without_pages_takes_nothing() -> None:
    found = usable(MAP, None, [ExcludedRange(0x5000_0000, 0x4FFF_FFFF, "EFI runtime: Reserved")])

    assert free(found) == [(0x10_0000, 0x7FFF_FFFF)]
    assert avoided(found) == []


def test_a_real_machine() -> None:
    snapshot = recorded(FIRST_KERNEL)
    # As this machine's kernel shows it, with crashkernel=256M and its own pages.
    iomem = parse(
        """00000000-00000fff : Reserved
00001000-0009ffff : System RAM
000a0000-000fffff : Reserved
  00000000-00000000 : PCI Bus 0000:00
00100000-007fffff : System RAM
00800000-00807fff : ACPI Non-volatile Storage
00808000-0080afff : System RAM
0080b000-0080bfff : ACPI Non-volatile Storage
0080c000-00810fff : System RAM
00811000-008fffff : ACPI Non-volatile Storage
00900000-7f1a9fff : System RAM
  3f000000-4effffff : Crash kernel
  60000000-60ffffff : Kernel code
7f1aa000-7f3edfff : System RAM
100000000-1ffffffff : System RAM
  1bfe00000-1bfffffff : Reserved
""",
        "iomem",
    )
    assert snapshot.memory_map is not None

    found = usable(snapshot.memory_map, iomem, excluded_ranges(snapshot))

    kept = 0x7DD3_B000  # the page of boot-services data that its kernel kept
    assert (0x4F00_0000, kept - 1) in free(found)
    assert (0x1_0000_0000, 0x1_BFDF_FFFF) in free(found)
    assert (0x1_C000_0000, 0x1_FFFF_FFFF) in free(found)
    assert (kept, kept + 0xFFF, "EFI runtime: BootServicesData") in avoided(found)


def test_a_machine_with_a_boot_logo_keeps_its_pages() -> None:
    snapshot = recorded(BGRT)
    assert snapshot.memory_map is not None

    found = usable(snapshot.memory_map, None, excluded_ranges(snapshot))

    logo = [each for each in excluded_ranges(snapshot) if each.why.endswith("BootServicesData")]
    assert logo
    for each in logo:
        assert not any(part.start <= each.end and each.start <= part.end for part in found.free)
