# SPDX-License-Identifier: LGPL-2.1-or-later
"""The headers of an EFI program that lead to its sections: the COFF header and the section table.

Little-endian; offsets and sizes are in bytes. Source: Microsoft's PE Format specification.
"""

import struct
from dataclasses import dataclass

DOS_MAGIC = b"MZ"
HEADER_POINTER = 0x3C
"""Where a file says at which offset its PE header begins, as a u32."""

MAGIC = b"PE\0\0"
HEADER_SIZE = 24
"""Of the magic and the COFF header; the optional header and the section table follow."""

SECTION_SIZE = 40
MACHINE_X64 = 0x8664

_POINTER = struct.Struct("<I")
_COFF = struct.Struct("<4s2H12xH2x")
_SECTION = struct.Struct("<8s4I16x")


@dataclass(frozen=True, slots=True)
class Coff:
    """The COFF header, with the size of the optional header that follows it."""

    machine: int
    section_count: int
    optional_size: int

    @classmethod
    def unpack(cls, data: bytes) -> "Coff | None":
        """Of 24 bytes that begin with the magic; None where they do not."""
        magic, machine, count, optional_size = _COFF.unpack(data)
        return cls(machine, count, optional_size) if magic == MAGIC else None


@dataclass(frozen=True, slots=True)
class SectionHeader:
    """A section: `raw_start` and `raw_size` are in the file, the others in memory."""

    name: str
    virtual_size: int
    virtual_address: int
    raw_size: int
    raw_start: int


def header_offset(data: bytes) -> int | None:
    """Where the PE header begins; None for what is no EFI program, or ends before it says so."""
    if data[:2] != DOS_MAGIC or len(data) < HEADER_POINTER + _POINTER.size:
        return None
    offset: int = _POINTER.unpack_from(data, HEADER_POINTER)[0]
    return offset


def unpack_sections(table: bytes) -> tuple[SectionHeader, ...]:
    """Every section of a whole table, in its order."""
    return tuple(
        SectionHeader(
            name.rstrip(b"\0").decode("ascii", "replace"), virtual_size, address, raw_size, start
        )
        for name, virtual_size, address, raw_size, start in _SECTION.iter_unpack(table)
    )
