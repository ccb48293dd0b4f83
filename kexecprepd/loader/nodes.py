# SPDX-License-Identifier: LGPL-2.1-or-later
"""Puts the setup_data nodes beside the image into one segment, each leading to the next.

One for all, as there are 16 segments and no more. They follow each other without a gap where their
lengths allow it: the next kernel reserves each node by itself, and kexec_file_load(2) there would
make an entry of the memory map of every gap.
"""

from collections.abc import Iterable

from ..abi.setup_data import ALIGNMENT, HEADER_SIZE, pack_node
from ..core.snapshot import RawNode


def size(nodes: Iterable[RawNode]) -> int:
    """Bytes that they take together."""
    return sum(_room(node) for node in nodes)


def chain(nodes: tuple[RawNode, ...], address: int) -> bytes:
    """Their bytes at a physical address, 8-byte aligned; the last one ends the list."""
    packed = bytearray()
    for number, node in enumerate(nodes):
        last = number == len(nodes) - 1
        following = 0 if last else address + len(packed) + _room(node)
        packed += pack_node(following, node.type, node.payload).ljust(_room(node), b"\0")
    return bytes(packed)


def _room(node: RawNode) -> int:
    return -(-(HEADER_SIZE + len(node.payload)) // ALIGNMENT) * ALIGNMENT
