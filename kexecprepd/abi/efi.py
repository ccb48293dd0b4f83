# SPDX-License-Identifier: LGPL-2.1-or-later
"""Names and numbers of the UEFI memory map and of where x86-64 Linux maps it, and OsIndications.

Sources: UEFI Specification 2.10, section 7.2.3 (memory types and attributes) and 8.5.4;
arch/x86/include/asm/pgtable_64_types.h and arch/x86/platform/efi/efi_64.c (the window).
"""

import struct
from enum import IntEnum

PAGE_SHIFT = 12
PAGE_SIZE = 1 << PAGE_SHIFT
"""An EFI page in bytes, on every architecture."""

PHYSICAL_BITS = 52
"""The most that an x86-64 processor addresses (MAXPHYADDR)."""

U32 = (1 << 32) - 1
U64 = (1 << 64) - 1

MEMORY_DESCRIPTOR = struct.Struct("<IIQQQQ")
"""EFI_MEMORY_DESCRIPTOR, little-endian: Type, padding, PhysicalStart, VirtualStart, NumberOfPages
and Attribute."""

DESCRIPTOR_VERSION = 1
"""EFI_MEMORY_DESCRIPTOR_VERSION, the only one that there is."""

VA_START = 0xFFFF_FFFF_0000_0000
"""Top of the kernel's EFI window, -4 GiB: no mapping reaches beyond it."""

VA_END = 0xFFFF_FFEF_0000_0000
"""Bottom of the kernel's EFI window, -68 GiB: no mapping begins below it."""

KERNEL_HALF = 0xFFFF_8000_0000_0000
"""Lowest kernel address with 4-level paging; user and 1:1 mappings lie far below."""

UNSET = 0xFFFF_FFFF_FFFF_FFFF
"""EFI_INVALID_TABLE_ADDR: the kernel's word for a table that is not there."""


class MemoryType(IntEnum):
    """EFI_MEMORY_TYPE."""

    RESERVED = 0
    LOADER_CODE = 1
    LOADER_DATA = 2
    BOOT_SERVICES_CODE = 3
    BOOT_SERVICES_DATA = 4
    RUNTIME_SERVICES_CODE = 5
    RUNTIME_SERVICES_DATA = 6
    CONVENTIONAL = 7
    UNUSABLE = 8
    ACPI_RECLAIM = 9
    ACPI_NVS = 10
    MEMORY_MAPPED_IO = 11
    MEMORY_MAPPED_IO_PORT_SPACE = 12
    PAL_CODE = 13
    PERSISTENT = 14
    UNACCEPTED = 15


_TYPE_NAMES = {
    MemoryType.RESERVED: "Reserved",
    MemoryType.LOADER_CODE: "LoaderCode",
    MemoryType.LOADER_DATA: "LoaderData",
    MemoryType.BOOT_SERVICES_CODE: "BootServicesCode",
    MemoryType.BOOT_SERVICES_DATA: "BootServicesData",
    MemoryType.RUNTIME_SERVICES_CODE: "RuntimeServicesCode",
    MemoryType.RUNTIME_SERVICES_DATA: "RuntimeServicesData",
    MemoryType.CONVENTIONAL: "Conventional",
    MemoryType.UNUSABLE: "Unusable",
    MemoryType.ACPI_RECLAIM: "ACPIReclaim",
    MemoryType.ACPI_NVS: "ACPIMemoryNVS",
    MemoryType.MEMORY_MAPPED_IO: "MemoryMappedIO",
    MemoryType.MEMORY_MAPPED_IO_PORT_SPACE: "MemoryMappedIOPortSpace",
    MemoryType.PAL_CODE: "PalCode",
    MemoryType.PERSISTENT: "PersistentMemory",
    MemoryType.UNACCEPTED: "Unaccepted",
}

RUNTIME = 1 << 63
"""EFI_MEMORY_RUNTIME: the region needs a virtual mapping."""

ATTRIBUTE_NAMES: tuple[tuple[int, str], ...] = (
    (RUNTIME, "RUNTIME"),
    (1 << 62, "ISA_VALID"),
    (1 << 20, "HOT_PLUGGABLE"),
    (1 << 19, "CPU_CRYPTO"),
    (1 << 18, "SP"),
    (1 << 17, "RO"),
    (1 << 16, "MORE_RELIABLE"),
    (1 << 15, "NV"),
    (1 << 14, "XP"),
    (1 << 13, "RP"),
    (1 << 12, "WP"),
    (1 << 4, "UCE"),
    (1 << 3, "WB"),
    (1 << 2, "WT"),
    (1 << 1, "WC"),
    (1 << 0, "UC"),
)

ISA_MASK = 0x0FFF_F000_0000_0000
"""EFI_MEMORY_ISA_MASK: bits 44 to 59."""

KNOWN_ATTRIBUTES = ISA_MASK | sum(bit for bit, _ in ATTRIBUTE_NAMES)

BOOT_TO_FIRMWARE_UI = 1 << 0
FILE_CAPSULE_DELIVERY = 1 << 2
START_OS_RECOVERY = 1 << 5
START_PLATFORM_RECOVERY = 1 << 6
"""Bits of OsIndications, EFI_OS_INDICATIONS_...: what is asked of the firmware."""


def type_name(value: int) -> str:
    """The specification's name of a memory type; OEM, OS and unassigned ones by their number."""
    if value in _TYPE_NAMES:
        return _TYPE_NAMES[MemoryType(value)]
    if 0x7000_0000 <= value <= 0x7FFF_FFFF:
        return f"OEM {value:#x}"
    if 0x8000_0000 <= value <= 0xFFFF_FFFF:
        return f"OS {value:#x}"
    return f"type {value:#x}"


def attribute_names(attribute: int) -> tuple[str, ...]:
    """The attribute bits that are set, most significant first; unassigned ones by their number."""
    names = [name for bit, name in ATTRIBUTE_NAMES if attribute & bit]
    if attribute & ISA_MASK:
        names.append(f"ISA={(attribute & ISA_MASK) >> 44:#x}")
    names += [f"bit {n}" for n in range(64) if attribute & ~KNOWN_ATTRIBUTES & (1 << n)]
    return tuple(names)
