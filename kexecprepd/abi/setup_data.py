# SPDX-License-Identifier: LGPL-2.1-or-later
"""The list of setup_data nodes that a kernel is handed, and struct efi_setup_data in one of them.

Little-endian; addresses are physical.

Sources: arch/x86/include/uapi/asm/setup_data.h (struct setup_data and its types),
arch/x86/include/asm/efi.h (struct efi_setup_data).
"""

import struct
from dataclasses import dataclass

SETUP_E820_EXT = 1
"""The memory map's entries from the 129th on."""

SETUP_PCI = 3
"""struct pci_setup_rom: a PCI device's option ROM, as the firmware had it."""

SETUP_EFI = 4
"""struct efi_setup_data."""

SETUP_APPLE_PROPERTIES = 5
"""Properties of devices, as Apple's firmware has them."""

SETUP_RNG_SEED = 9
"""Random bytes for the kernel's generator."""

SETUP_KEXP = 0x6B65_7870
"""What a loader says of a handover, in JSON: ours, and unknown to every kernel ("kexp")."""

_NODE = struct.Struct("<QII")
_EFI_SETUP_DATA = struct.Struct("<4Q64x")

HEADER_SIZE = _NODE.size
"""Bytes of a node before its payload: 16."""

EFI_SETUP_DATA_SIZE = _EFI_SETUP_DATA.size
"""Bytes of struct efi_setup_data: 96."""

ALIGNMENT = 8
"""Bytes: a node holds a u64 first."""


@dataclass(frozen=True, slots=True)
class Header:
    """A node's header: `next` is the following node's address, 0 at the end; `length` is the
    payload's, in bytes.
    """

    next: int
    type: int
    length: int


def pack_header(header: Header) -> bytes:
    """16 bytes."""
    return _NODE.pack(header.next, header.type, header.length)


def unpack_header(data: bytes) -> Header:
    """The header that `data` begins with. Raises struct.error for less than 16 bytes."""
    return Header(*_NODE.unpack_from(data))


def pack_node(next_node: int, kind: int, payload: bytes) -> bytes:
    """A whole node that leads to the one at `next_node`, or ends the list with 0."""
    return pack_header(Header(next_node, kind, len(payload))) + payload


def relink(node: bytes, next_node: int) -> bytes:
    """The same node, leading to `next_node`."""
    header = unpack_header(node)
    return pack_header(Header(next_node, header.type, header.length)) + node[HEADER_SIZE:]


@dataclass(frozen=True, slots=True)
class EfiSetupData:
    """struct efi_setup_data: where the firmware's tables are.

    `smbios` is all-ones where there is no SMBIOS entry point; `runtime` is unread since 5.7.
    """

    fw_vendor: int
    runtime: int
    tables: int
    smbios: int

    def pack(self) -> bytes:
        """Its 96 bytes, the reserved ones 0."""
        return _EFI_SETUP_DATA.pack(self.fw_vendor, self.runtime, self.tables, self.smbios)


def unpack_efi_setup_data(payload: bytes) -> EfiSetupData:
    """Take a SETUP_EFI node's payload apart. Raises struct.error for less than 96 bytes."""
    return EfiSetupData(*_EFI_SETUP_DATA.unpack_from(payload))


def reserved(payload: bytes) -> bytes:
    """The reserved bytes of struct efi_setup_data."""
    return payload[32:EFI_SETUP_DATA_SIZE]
