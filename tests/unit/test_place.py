# SPDX-License-Identifier: LGPL-2.1-or-later
"""Placing the image: where it may lie, and what the loader is told of it."""

import struct
from dataclasses import replace
from pathlib import Path

import pytest

from kexecprepd.core.image import compose
from kexecprepd.core.placement import PlacementError, Placer
from kexecprepd.core.snapshot import MemoryRange, Snapshot
from tests.support.recordings import (
    BGRT_KEXEC_FILE,
    BOOT_PARAMS,
    FIRST_KERNEL,
    KEXEC_SYSCALL,
    add_range,
    content,
)
from tests.support.snapshots import read_snapshot, recorded

SIZE = 112 + 6 * 40
RAM = 0x100_0000
"""In the first kernel's large range of System RAM."""


@pytest.fixture
def snapshot() -> Snapshot:
    return recorded(FIRST_KERNEL)


def placed(snapshot: Snapshot, address: int, next_node: int = 0) -> tuple[bytes, bytes]:
    return Placer(compose(snapshot).pack(), snapshot).place(address, next_node)


def refusal(snapshot: Snapshot, address: int, next_node: int = 0) -> str:
    with pytest.raises(PlacementError) as raised:
        placed(snapshot, address, next_node)
    return str(raised.value)


def test_efi_info_is_the_one_that_kexec_tools_made_for_the_same_address() -> None:
    made = content(KEXEC_SYSCALL, BOOT_PARAMS)[0x1C0:0x1E0]

    _, efi_info = placed(recorded(KEXEC_SYSCALL), 0x10_1000 - 112)

    assert efi_info == made


def test_an_image_above_4_gib_has_both_halves_of_its_address_in_efi_info(
    snapshot: Snapshot,
) -> None:
    _, efi_info = placed(snapshot, 0x1_0000_1000)

    expected = struct.pack("<4s7I", b"EL64", 0x7F5E_B018, 40, 1, 0x1070, 240, 0, 1)
    assert efi_info == expected


def test_descriptors_that_cross_4_gib_are_told_by_their_own_address(snapshot: Snapshot) -> None:
    assert snapshot.runtime_map is not None
    ram = MemoryRange(0, 0, (1 << 40) - 1, "System RAM")
    # Without the flash just below 4 GiB, so that the node can lie there.
    bare = replace(snapshot, memory_map=(ram,), runtime_map=snapshot.runtime_map[1:])

    _, efi_info = placed(bare, 0x1_0000_0000 - 112)

    assert struct.unpack("<4s7I", efi_info)[4:] == (0, 200, 0, 1)


def test_the_image_is_linked_and_otherwise_unchanged(snapshot: Snapshot) -> None:
    image, _ = placed(snapshot, RAM, 0x1_2345_6788)

    assert image[:8] == bytes.fromhex("8867452301000000")
    assert image[8:] == compose(snapshot).pack()[8:]


def test_an_image_at_the_end_of_the_list_has_no_next(snapshot: Snapshot) -> None:
    image, _ = placed(snapshot, RAM, 0)

    assert image == compose(snapshot).pack()


@pytest.mark.parametrize("offset", [1, 2, 4, 7])
def test_an_unaligned_address_is_refused(snapshot: Snapshot, offset: int) -> None:
    assert "not aligned" in refusal(snapshot, RAM + offset)


def test_an_image_that_wraps_is_refused(snapshot: Snapshot) -> None:
    assert "wraps" in refusal(snapshot, (1 << 64) - SIZE + 8)
    assert "wraps" not in refusal(snapshot, (1 << 64) - SIZE)


@pytest.mark.parametrize("address", [0, 8, 0xFF8])
def test_page_0_is_refused(snapshot: Snapshot, address: int) -> None:
    assert "page 0" in refusal(snapshot, address)


@pytest.mark.parametrize("address", [0x80_6000, 0x80_6000 - 8, 0x80_8000 - 8])
def test_memory_of_another_type_is_named(snapshot: Snapshot, address: int) -> None:
    assert "ACPI Non-volatile Storage" in refusal(snapshot, address)


@pytest.mark.parametrize("address", [0x8_0000_0000, 0xA_0000 - 8, 0x1_FFFF_FFF8])
def test_memory_that_no_range_covers_is_refused(snapshot: Snapshot, address: int) -> None:
    assert "throughout" in refusal(snapshot, address)


def test_reserved_memory_within_ram_is_refused(tree: Path) -> None:
    add_range(tree, RAM, RAM + 0xFFF, "reserved")

    assert "reserved" in refusal(read_snapshot(tree), RAM)


def test_without_a_memory_map_nothing_can_be_placed(snapshot: Snapshot) -> None:
    assert "no memory map" in refusal(replace(snapshot, memory_map=None), RAM)


# The page of boot-services data that the kernel kept, in the midst of System RAM.
KEPT = 0x7DD3_B000


@pytest.mark.parametrize("address", [KEPT - SIZE + 8, KEPT, KEPT + 0x1000 - 8])
def test_an_excluded_range_is_refused(snapshot: Snapshot, address: int) -> None:
    words = refusal(snapshot, address)

    assert "excluded" in words
    assert "BootServicesData" in words


@pytest.mark.parametrize(
    "address",
    [
        pytest.param(0x1000, id="first after page 0"),
        pytest.param(RAM + 8, id="aligned to 8 alone"),
        pytest.param(0xA_0000 - SIZE, id="last of a range"),
        pytest.param(0x10_0000, id="first of a range"),
        pytest.param(KEPT - SIZE, id="just below an excluded range"),
        pytest.param(KEPT + 0x1000, id="just above an excluded range"),
        pytest.param(0x1_FFFF_FFFF - SIZE + 1, id="last of all memory"),
    ],
)
def test_the_edge_of_what_is_allowed_is_allowed(snapshot: Snapshot, address: int) -> None:
    placed(snapshot, address)


def test_two_ranges_of_ram_that_touch_are_one() -> None:
    snapshot = recorded(BGRT_KEXEC_FILE)
    border = 0x7D23_8018
    assert snapshot.memory_map is not None
    assert border in [each.start for each in snapshot.memory_map]

    placed(snapshot, border - 16)


@pytest.mark.parametrize("offset", [0, 8, SIZE - 1])
def test_a_next_within_the_image_would_be_a_loop(snapshot: Snapshot, offset: int) -> None:
    assert "itself" in refusal(snapshot, RAM, RAM + offset)


@pytest.mark.parametrize("next_node", [RAM - 8, RAM + SIZE])
def test_a_next_beside_the_image_is_none(snapshot: Snapshot, next_node: int) -> None:
    image, _ = placed(snapshot, RAM, next_node)

    assert image[:8] == struct.pack("<Q", next_node)
