# SPDX-License-Identifier: LGPL-2.1-or-later
"""struct boot_params and what lies in it: efi_info, e820 entries, the kernel's setup_header.

All of it is little-endian; offsets and sizes are in bytes. A bzImage has its struct setup_header
at the same offset, so the fields of `hdr` can be read from the file as well.

Sources: arch/x86/include/uapi/asm/bootparam.h, Documentation/arch/x86/boot.rst and zero-page.rst,
arch/x86/include/asm/e820/types.h, arch/x86/kernel/e820.c (the types' names in sysfs).
"""

import struct
from collections.abc import Iterable
from dataclasses import dataclass

SIZE = 4096
"""Bytes of struct boot_params."""


@dataclass(frozen=True, slots=True)
class Field:
    """A number in struct boot_params: where it is, and its layout as struct has it."""

    offset: int
    layout: str

    def get(self, data: bytes | memoryview) -> int:
        """Its value. Raises struct.error where `data` ends before it does."""
        value: int = struct.unpack_from(self.layout, data, self.offset)[0]
        return value

    def put(self, data: bytearray, value: int) -> None:
        """Set it. Raises struct.error for a value that it cannot hold."""
        struct.pack_into(self.layout, data, self.offset, value)


@dataclass(frozen=True, slots=True)
class Halves:
    """A 64-bit number in two halves: the later one was added when 32 bits did not do any more."""

    low: Field
    high: Field

    def put(self, data: bytearray, value: int) -> None:
        """Set it. Raises struct.error for a value beyond 64 bits."""
        self.low.put(data, value & 0xFFFF_FFFF)
        self.high.put(data, value >> 32)


@dataclass(frozen=True, slots=True)
class Area:
    """Some bytes in struct boot_params that are only copied."""

    offset: int
    size: int

    def get(self, data: bytes | memoryview) -> bytes:
        """Its bytes."""
        return bytes(data[self.offset : self.offset + self.size])

    def put(self, data: bytearray, content: bytes) -> None:
        """Set as many of its first bytes as `content` has; no more than its size."""
        assert len(content) <= self.size
        data[self.offset : self.offset + len(content)] = content


SCREEN_INFO = Area(0x000, 64)
"""struct screen_info, with the fields that follow in it."""
ORIG_VIDEO_ISVGA = Field(0x00F, "<B")
"""What kind of screen it is: 0 for none that is known."""
LFB_BASE = Halves(Field(0x018, "<I"), Field(0x03A, "<I"))
"""The framebuffer's physical address; the high half counts with VIDEO_CAPABILITY_64BIT_BASE."""
SCREEN_CAPABILITIES = Field(0x036, "<I")
ACPI_RSDP_ADDR = Field(0x070, "<Q")
EDID_INFO = Area(0x140, 128)
EFI_INFO = Area(0x1C0, 32)
E820_ENTRIES = Field(0x1E8, "<B")
EDD_COUNTS = Area(0x1E9, 2)
"""eddbuf_entries and edd_mbr_sig_buf_entries."""
SECURE_BOOT = Field(0x1EC, "<B")
SENTINEL = Field(0x1EF, "<B")
"""Whoever sets it asks for all that the boot loader need not know to be cleared."""
EDD_MBR_SIG_BUFFER = Area(0x290, 64)
E820_TABLE = Area(0x2D0, 20 * 128)
EDDBUF = Area(0xD00, 492)

# struct setup_header
HEADER_START = 0x1F1
"""Where it begins, in a bzImage as in struct boot_params."""
SETUP_SECTS = Field(0x1F1, "<B")
SYSSIZE = Field(0x1F4, "<I")
BOOT_FLAG = Field(0x1FE, "<H")
JUMP = Field(0x200, "<B")
"""The opcode of the jump across the header; 0x201 is its operand."""
JUMP_DISTANCE = Field(0x201, "<B")
HEADER_MAGIC = Area(0x202, 4)
VERSION = Field(0x206, "<H")
KERNEL_VERSION = Field(0x20E, "<H")
TYPE_OF_LOADER = Field(0x210, "<B")
LOADFLAGS = Field(0x211, "<B")
RAMDISK_IMAGE = Halves(Field(0x218, "<I"), Field(0x0C0, "<I"))
RAMDISK_SIZE = Halves(Field(0x21C, "<I"), Field(0x0C4, "<I"))
CMD_LINE_PTR = Halves(Field(0x228, "<I"), Field(0x0C8, "<I"))
KERNEL_ALIGNMENT = Field(0x230, "<I")
RELOCATABLE_KERNEL = Field(0x234, "<B")
XLOADFLAGS = Field(0x236, "<H")
CMDLINE_SIZE = Field(0x238, "<I")
HARDWARE_SUBARCH = Area(0x23C, 4)
SETUP_DATA = Field(0x250, "<Q")
PREF_ADDRESS = Field(0x258, "<Q")
INIT_SIZE = Field(0x260, "<I")
INIT_SIZE_END = 0x264

VIDEO_TYPE_VLFB = 0x23
"""ORIG_VIDEO_ISVGA of a framebuffer that a VESA BIOS has set up. Source:
include/uapi/linux/screen_info.h."""
VIDEO_TYPE_EFI = 0x70
"""The same of one that UEFI firmware has set up."""
VIDEO_CAPABILITY_64BIT_BASE = 1 << 1

MAGIC = b"HdrS"

XLF_KERNEL_64 = 1 << 0
XLF_CAN_BE_LOADED_ABOVE_4G = 1 << 1
XLF_EFI_KEXEC = 1 << 4
XLF_5LEVEL = 1 << 5

LOADER_KEXEC = 0xD
"""The upper half of type_of_loader in a kernel that was started by kexec."""

SECURE_BOOT_MODES = {0: "unset", 1: "unknown", 2: "disabled", 3: "enabled"}
"""enum efi_secureboot_mode of include/linux/efi.h, by its numbers."""

# struct efi_info
_EFI_INFO = struct.Struct("<4s7I")

SIGNATURE_64 = b"EL64"
"""efi_loader_signature of a 64-bit firmware."""

SIGNATURE_32 = b"EL32"
"""efi_loader_signature of a 32-bit firmware."""

SIGNATURE_XEN = b"Xen\0"
"""efi_loader_signature where Xen stands between kernel and firmware."""


@dataclass(frozen=True, slots=True)
class EfiInfo:
    """struct efi_info: where the firmware's system table and its memory map are, physically."""

    signature: bytes
    systab: int
    memdesc_size: int
    memdesc_version: int
    memmap: int
    memmap_size: int

    def pack(self) -> bytes:
        """Its 32 bytes."""
        return _EFI_INFO.pack(
            self.signature,
            self.systab & 0xFFFF_FFFF,
            self.memdesc_size,
            self.memdesc_version,
            self.memmap & 0xFFFF_FFFF,
            self.memmap_size,
            self.systab >> 32,
            self.memmap >> 32,
        )


def unpack_efi_info(data: bytes) -> EfiInfo:
    """Take 32 bytes apart. Raises struct.error for another number of bytes."""
    signature, systab, size, version, memmap, length, systab_hi, memmap_hi = _EFI_INFO.unpack(data)
    return EfiInfo(
        signature=signature,
        systab=systab_hi << 32 | systab,
        memdesc_size=size,
        memdesc_version=version,
        memmap=memmap_hi << 32 | memmap,
        memmap_size=length,
    )


# struct boot_e820_entry
_E820_ENTRY = struct.Struct("<QQI")

E820_MAX_ENTRIES = 128
"""E820_MAX_ENTRIES_ZEROPAGE: the rest goes into a setup_data node of type SETUP_E820_EXT."""

E820_RAM = 1
E820_RESERVED = 2

E820_NAMES = {
    E820_RAM: "System RAM",
    E820_RESERVED: "Reserved",
    3: "ACPI Tables",
    4: "ACPI Non-volatile Storage",
    5: "Unusable memory",
    7: "Persistent Memory",
    12: "Persistent Memory (legacy)",
    0xEFFF_FFFF: "Soft Reserved",
}
"""The types by their numbers, and what /sys/firmware/memmap calls them."""


@dataclass(frozen=True, slots=True)
class E820Entry:
    """struct boot_e820_entry: one entry of the memory map that a kernel is booted with."""

    start: int
    size: int
    type: int


def pack_e820(entries: Iterable[E820Entry]) -> bytes:
    """20 bytes for each entry."""
    return b"".join(_E820_ENTRY.pack(entry.start, entry.size, entry.type) for entry in entries)


def unpack_e820(table: bytes) -> tuple[E820Entry, ...]:
    """The entries of a table; a piece of one at its end is left out."""
    table = table[: len(table) - len(table) % _E820_ENTRY.size]
    return tuple(E820Entry(*values) for values in _E820_ENTRY.iter_unpack(table))


@dataclass(frozen=True, slots=True)
class BootParams:
    """What struct boot_params tells a kernel of EFI, ACPI, Secure Boot and memory.

    `e820` are the entries in it, without those of a SETUP_E820_EXT node.
    """

    efi_info: EfiInfo
    acpi_rsdp: int
    secure_boot: int
    type_of_loader: int
    e820: tuple[E820Entry, ...]


def unpack(data: bytes) -> BootParams:
    """Take 4096 bytes apart. Raises struct.error for fewer."""
    count = min(E820_ENTRIES.get(data), E820_MAX_ENTRIES)
    return BootParams(
        efi_info=unpack_efi_info(EFI_INFO.get(data)),
        acpi_rsdp=ACPI_RSDP_ADDR.get(data),
        secure_boot=SECURE_BOOT.get(data),
        type_of_loader=TYPE_OF_LOADER.get(data),
        e820=unpack_e820(E820_TABLE.get(data)[: count * _E820_ENTRY.size]),
    )
