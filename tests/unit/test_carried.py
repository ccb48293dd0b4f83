# SPDX-License-Identifier: LGPL-2.1-or-later
"""The firmware's own setup_data nodes: which are handed on, and that they are as they were."""

from pathlib import Path

from kexecprepd.core.snapshot import RawNode
from kexecprepd.ctl.load_source import of_tree
from kexecprepd.reading.sysfs import read_carried
from kexecprepd.reading.tree import Tree
from tests.support.receipts import add_receipt
from tests.support.recordings import KEXEC_SYSCALL, add_setup_data, materialise

ROM = bytes(range(256)) * 156 + bytes(48)
MIB = 1 << 20


def carried(root: Path, room: int = 4 * MIB) -> tuple[tuple[RawNode, ...], int]:
    with Tree.open(root / "sys") as tree:
        return read_carried(tree, room)


def test_option_roms_and_apples_properties_are_handed_on_and_nothing_else(tmp_path: Path) -> None:
    root = materialise(KEXEC_SYSCALL, tmp_path)
    for kind, payload in ((3, ROM), (2, b"a device tree"), (5, b"properties"), (3, b"another")):
        add_setup_data(root, kind, payload)
    add_receipt(root)

    assert carried(root) == (
        (RawNode(3, ROM), RawNode(5, b"properties"), RawNode(3, b"another")),
        0,
    )


def test_a_machine_without_any_has_none(tree: Path) -> None:
    assert carried(tree) == ((), 0)


def test_what_is_beyond_4_mib_in_total_is_left_out_and_noted(tree: Path) -> None:
    for size in (3 * MIB, 2 * MIB, MIB, 1):
        add_setup_data(tree, 3, bytes(size))

    source = of_tree(tree, efi=True)

    assert [len(node.payload) for node in source.machine.carried] == [3 * MIB, MIB]
    (note,) = (note for note in source.notes if "setup_data" in note)
    assert note.startswith("2 setup_data nodes of the firmware's")
    assert "4.0M" in note
