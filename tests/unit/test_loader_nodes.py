# SPDX-License-Identifier: LGPL-2.1-or-later
"""The setup_data list of a plan: what the firmware left, the seed, the receipt, the memory map."""

from itertools import pairwise
from pathlib import Path

import pytest

from kexecprepd.core.image import compose, efi_info
from kexecprepd.core.receipt import Receipt
from kexecprepd.core.snapshot import RawNode, Snapshot
from kexecprepd.loader.memory import usable
from kexecprepd.loader.plan import Handed, Machine, Plan, draft, finish
from tests.support.kernels import MIB, kernel, memory_map
from tests.support.plans import nodes_of
from tests.support.snapshots import read_snapshot

KEXP = 0x6B65_7870
SEED = bytes(range(32))
ROM = RawNode(3, bytes(range(256)) * 156 + bytes(48))
"""As large as that of `-vga std` under OVMF."""

RECEIPT = Receipt("4f0c1c1e-58f8-4d49-b3a4-e2b6f0f1a2c3", "ab" * 32, 8, "a loader 1", 1)


def machine(*carried: RawNode, entries: int = 1) -> Machine:
    """One with that many entries in its memory map, all but one of them reserved."""
    reserved = ((1 << 40) + (n << 20) for n in range(entries - 1))
    ranges = memory_map(
        (MIB, 1024 * MIB - 1, "System RAM"),
        *((start, start + 0xFFF, "Reserved") for start in reserved),
    )
    return Machine(
        memory_map=ranges,
        usable=usable(ranges, None, ()),
        boot_params=bytes(4096),
        screen_info=bytes(64),
        acpi_rsdp=0,
        secure_boot=0,
        five_level_paging=False,
        carried=carried,
    )


def planned(machine: Machine, snapshot: Snapshot | None = None) -> Plan:
    """The plan with a receipt, and the image of a snapshot if there is one."""
    handed = Handed(compose(snapshot).pack(), efi_info(snapshot)) if snapshot else None
    size = len(handed.image) if handed else 0
    drafted = draft(kernel(), b"initrd", "quiet", machine, size, receipt=True)
    return finish(drafted, handed, SEED, RECEIPT)


def test_what_the_firmware_left_is_handed_on_before_the_seed_and_the_receipt(tree: Path) -> None:
    apple = RawNode(5, b"properties")

    plan = planned(machine(ROM, apple), read_snapshot(tree))

    nodes = nodes_of(plan)
    assert [(kind, payload) for _, kind, payload in nodes[1:]] == [
        (3, ROM.payload),
        (5, apple.payload),
        (9, SEED),
        (KEXP, RECEIPT.pack()),
    ]
    assert nodes[0][1] == 4
    assert all(address % 8 == 0 for address, _, _ in nodes)


def test_a_dozen_option_roms_take_one_segment_without_a_gap() -> None:
    plan = planned(machine(*[ROM] * 12, entries=200))

    nodes = nodes_of(plan)
    assert [kind for _, kind, _ in nodes] == [3] * 12 + [9, KEXP, 1]
    for (address, _, payload), (following, _, _) in pairwise(nodes):
        assert following == address + 16 + len(payload)
    assert [each.name for each in plan.segments].count("setup_data") == 1


def test_a_list_without_efi_begins_with_what_the_firmware_left() -> None:
    assert [kind for _, kind, _ in nodes_of(planned(machine(ROM)))] == [3, 9, KEXP]


def test_a_receipt_goes_where_there_is_room_for_one_and_nowhere_else() -> None:
    for asked, given in ((True, None), (False, RECEIPT)):
        drafted = draft(kernel(), b"initrd", "quiet", machine(), 0, receipt=asked)
        with pytest.raises(ValueError, match="a receipt if there is a place"):
            finish(drafted, None, SEED, given)
