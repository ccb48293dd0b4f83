# SPDX-License-Identifier: LGPL-2.1-or-later
"""Turns the firmware's memory map back into the e820 table that the next kernel is given."""

from collections.abc import Iterable

from ..abi.bootparam import (
    E820_MAX_ENTRIES,
    E820_NAMES,
    E820_RAM,
    E820_RESERVED,
    E820Entry,
    pack_e820,
)
from ..abi.efi import U64
from ..core.snapshot import MemoryRange
from .errors import LoadError

_TYPES = {name.lower(): number for number, name in E820_NAMES.items()}


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
        found.append(E820Entry(memory.start, size, _TYPES.get(memory.kind, E820_RESERVED)))
    if not any(entry.type == E820_RAM for entry in found):
        raise LoadError(
            "The kernel shows no memory map with System RAM in it.",
            "It takes CONFIG_FIRMWARE_MEMMAP, which distributions' kernels have.",
        )
    return tuple(sorted(found, key=lambda entry: (entry.start, entry.size, entry.type)))


def table(listed: tuple[E820Entry, ...]) -> bytes:
    """boot_params.e820_table: 20 bytes for each of the first 128 entries, little-endian."""
    return pack_e820(listed[:E820_MAX_ENTRIES])


def extension(listed: tuple[E820Entry, ...]) -> bytes | None:
    """The payload of a SETUP_E820_EXT node for the entries from the 129th on, if there are any."""
    return pack_e820(listed[E820_MAX_ENTRIES:]) or None
