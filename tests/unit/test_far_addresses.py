# SPDX-License-Identifier: LGPL-2.1-or-later
"""Addresses above 4 GiB in struct efi_info, and images as long as the next kernel can map."""

import struct
from dataclasses import replace
from pathlib import Path

import pytest

from kexecprepd.abi.bootparam import EfiInfo, unpack_efi_info
from kexecprepd.core.image import efi_info
from kexecprepd.core.placement import PlacementError, Placer
from kexecprepd.core.snapshot import MemoryRange, Snapshot
from tests.support.recordings import BOOT_PARAMS, FIRST_KERNEL, content, patch
from tests.support.snapshots import read_snapshot, recorded

EFI_INFO = 0x1C0
SYSTAB, SYSTAB_HI = EFI_INFO + 4, EFI_INFO + 24


def test_both_halves_of_every_address_are_kept() -> None:
    told = EfiInfo(b"EL64", 0x12_3456_7008, 40, 1, 0xAB_CDEF_0070, 240)

    assert told.pack() == struct.pack(
        "<4s7I", b"EL64", 0x3456_7008, 40, 1, 0xCDEF_0070, 240, 0x12, 0xAB
    )
    assert unpack_efi_info(told.pack()) == told


def test_a_system_table_above_4_gib_is_handed_over_where_it_is(tree: Path) -> None:
    patch(tree, BOOT_PARAMS, SYSTAB_HI, struct.pack("<I", 0x12))
    low = content(FIRST_KERNEL, BOOT_PARAMS)[SYSTAB : SYSTAB + 4]

    told = efi_info(read_snapshot(tree))

    assert (told[4:8], told[24:28]) == (low, struct.pack("<I", 0x12))


AT = 0x1_0000_0000
LARGEST = 6550
"""Descriptors of an image at a page's beginning in the 64 pages that the next kernel maps early."""


@pytest.fixture
def empty() -> Snapshot:
    """A machine with nothing but RAM in it, so that any image can lie anywhere."""
    ram = MemoryRange(0, 0, (1 << 40) - 1, "System RAM")
    return replace(recorded(FIRST_KERNEL), memory_map=(ram,), runtime_map=())


def image(descriptors: int) -> bytes:
    return bytes(112 + 40 * descriptors)


@pytest.mark.parametrize(
    ("address", "descriptors"),
    [
        pytest.param(AT, LARGEST, id="at a page's beginning"),
        pytest.param(AT + 32, LARGEST, id="to the last byte"),
        pytest.param(AT - 112, LARGEST + 3, id="the descriptors at a page's beginning"),
    ],
)
def test_descriptors_in_64_pages_are_placed(
    empty: Snapshot, address: int, descriptors: int
) -> None:
    placed, _ = Placer(image(descriptors), empty).place(address, 0)

    assert placed == image(descriptors)


@pytest.mark.parametrize(
    ("address", "descriptors"),
    [
        pytest.param(AT, LARGEST + 1, id="at a page's beginning"),
        pytest.param(AT + 40, LARGEST, id="by eight bytes"),
        pytest.param(AT - 112, LARGEST + 4, id="the descriptors at a page's beginning"),
        pytest.param(AT + 3976, LARGEST, id="the descriptors at a page's end"),
    ],
)
def test_descriptors_in_more_pages_are_refused(
    empty: Snapshot, address: int, descriptors: int
) -> None:
    with pytest.raises(PlacementError, match="span more than the 64 pages"):
        Placer(image(descriptors), empty).place(address, 0)
