# SPDX-License-Identifier: LGPL-2.1-or-later
"""Damaged maps that look as if there were nothing to hand over: they are refused."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from kexecprepd.core.finding import State
from kexecprepd.core.verdict import assess
from tests.support import recordings
from tests.support.recordings import (
    BOOT_PARAMS,
    EFI,
    RUNTIME_MAP,
    materialise,
    patch,
    remove,
    set_region,
    write,
)
from tests.support.snapshots import read_snapshot


def direct_map(number: int) -> int:
    return 0xFFFF_8880_0000_0000 + number * 0x1000_0000


def zeroed(root: Path) -> None:
    for number in range(6):
        zero = {"type": 0, "phys_addr": 0, "virt_addr": 0, "num_pages": 0, "attribute": 0}
        set_region(root, number, **zero)


def overlapping(root: Path) -> None:
    for number in range(6):
        set_region(root, number, phys_addr=0x7000_0000, attribute=15)


def at_random(root: Path) -> None:
    chance = random.Random(20261122)
    for number in range(6):
        values = {name: chance.getrandbits(63) for name in recordings.ATTRIBUTES[1:]}
        set_region(root, number, type=chance.getrandbits(32), **values)


def without_the_bit(root: Path) -> None:
    for number in range(6):
        set_region(root, number, attribute=15)


def flipped(*bits: int) -> Callable[[Path], None]:
    def flip(root: Path) -> None:
        for region in read_snapshot(root).runtime_map or ():
            virt = region.virt_addr ^ sum(1 << bit for bit in bits)
            set_region(root, region.number, virt_addr=virt)

    return flip


def unmapped(root: Path) -> None:
    for number in range(6):
        set_region(root, number, virt_addr=0)
    write(root, "proc/cmdline", "efi=old_map\n")


def at_one_place(root: Path) -> None:
    """As efi=old_map maps, but a map that is damaged otherwise."""
    for number in range(6):
        set_region(root, number, virt_addr=direct_map(number), phys_addr=0x7000_0000)


def xen_over_zeroes(root: Path) -> None:
    patch(root, BOOT_PARAMS, 0x1C0, b"Xen\0")
    zeroed(root)


DAMAGED: dict[str, Callable[[Path], object]] = {
    "zeroed": zeroed,
    "overlapping": overlapping,
    "random": at_random,
    "without the bit": without_the_bit,
    "bits 36 to 39 of every virtual address": flipped(36, 37, 38, 39),
    "bit 36 of every virtual address": flipped(36),
    "bit 63 of every virtual address": flipped(63),
    "no mapping with a stale efi=old_map": unmapped,
    "old_map of an overlapping map": at_one_place,
    "no descriptor version": lambda root: patch(root, BOOT_PARAMS, 0x1C0 + 12, bytes(4)),
    "32 bits against EL64": lambda root: write(root, f"{EFI}/fw_platform_size", "32\n"),
    "EL32 against 64 bits": lambda root: patch(root, BOOT_PARAMS, 0x1C0, b"EL32"),
    "Xen's signature over a damaged map": xen_over_zeroes,
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damage_is_not_taken_for_a_system_without_a_map(name: str, tree: Path) -> None:
    DAMAGED[name](tree)

    assessment = assess(read_snapshot(tree))

    assert (assessment.state, assessment.image) == (State.INVALID, None)


def test_a_map_that_is_empty_though_one_was_handed_over_is_damaged(tmp_path: Path) -> None:
    root = materialise(recordings.KEXEC_FILE, tmp_path)
    remove(root, RUNTIME_MAP)
    (root / RUNTIME_MAP).mkdir()

    assert assess(read_snapshot(root)).state is State.INVALID
