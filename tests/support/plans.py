# SPDX-License-Identifier: LGPL-2.1-or-later
"""Reads a plan as the next kernel will: from the entry on, by addresses alone."""

import struct

from kexecprepd.loader.plan import Plan


def read(plan: Plan, address: int, size: int) -> bytes:
    """Memory after the kernel has put all segments in place."""
    for segment in plan.segments:
        if segment.address <= address and address + size <= segment.address + segment.size:
            content = bytes(segment.data).ljust(segment.size, b"\0")
            return content[address - segment.address :][:size]
    raise AssertionError(f"nothing is loaded at {address:#x}")


def params_of(plan: Plan) -> bytes:
    """What rsi points to when the stub jumps."""
    stub = read(plan, plan.entry, 0x80)
    return read(plan, struct.unpack_from("<Q", stub, stub.index(b"\x48\xbe") + 2)[0], 4096)


def nodes_of(plan: Plan) -> list[tuple[int, int, bytes]]:
    """(address, type, payload) of the setup_data list."""
    nodes = []
    (address,) = struct.unpack_from("<Q", params_of(plan), 0x250)
    while address:
        following, kind, size = struct.unpack("<QII", read(plan, address, 16))
        nodes.append((address, kind, read(plan, address + 16, size)))
        address = following
    return nodes
