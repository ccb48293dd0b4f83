# SPDX-License-Identifier: LGPL-2.1-or-later
"""Turns the firmware's memory map back into the e820 table that the next kernel is given.

Sources: arch/x86/include/asm/e820/types.h (numbers), arch/x86/kernel/e820.c (their names in
/sys/firmware/memmap), struct boot_e820_entry in arch/x86/include/uapi/asm/setup_data.h.
"""

import struct
from collections.abc import Iterable

from ..core.snapshot import E820Entry, MemoryRange
from ..reading.tree import U64
from .errors import LoadError

TABLE_MAX = 128
"""E820_MAX_ENTRIES_ZEROPAGE: how many fit boot_params. The rest goes into a SETUP_E820_EXT node."""

RAM = 1
RESERVED = 2

_TYPES = {
    "system ram": RAM,
    "reserved": RESERVED,
    "acpi tables": 3,
    "acpi non-volatile storage": 4,
    "unusable memory": 5,
    "persistent memory": 7,
    "persistent memory (legacy)": 12,
    "soft reserved": 0xEFFF_FFFF,
}
_ENTRY = struct.Struct("<QQI")


def entries(memory_map: Iterable[MemoryRange]) -> tuple[E820Entry, ...]:
    """The memory map as e820 has it, ascending. What has another name is reserved.

    Raises LoadError for a map with a range that ends before it begins, and for one without RAM.
    """
    found = []
    for memory in memory_map:
        size = memory.end - memory.start + 1
        if not 0 < size <= U64:
            sentence = (
                f"Entry {memory.number} of the memory map ends before it begins, or has it all."
            )
            raise LoadError(
                sentence, "Report this with the kernel's version: firmware/memmap is wrong."
            )
        found.append(E820Entry(memory.start, size, _TYPES.get(memory.kind, RESERVED)))
    if not any(entry.type == RAM for entry in found):
        raise LoadError(
            "The kernel shows no memory map with System RAM in it.",
            "It takes CONFIG_FIRMWARE_MEMMAP, which distributions' kernels have.",
        )
    return tuple(sorted(found, key=lambda entry: (entry.start, entry.size, entry.type)))


def table(listed: tuple[E820Entry, ...]) -> bytes:
    """boot_params.e820_table: 20 bytes for each of the first 128 entries, little-endian."""
    return _packed(listed[:TABLE_MAX])


def extension(listed: tuple[E820Entry, ...]) -> bytes | None:
    """The payload of a SETUP_E820_EXT node for the entries from the 129th on, if there are any."""
    return _packed(listed[TABLE_MAX:]) or None


def _packed(listed: Iterable[E820Entry]) -> bytes:
    return b"".join(_ENTRY.pack(entry.start, entry.size, entry.type) for entry in listed)
