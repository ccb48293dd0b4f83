# SPDX-License-Identifier: LGPL-2.1-or-later
"""Fills in what the next kernel reads first: struct boot_params, its command line, setup_data.

Sources: arch/x86/include/uapi/asm/bootparam.h (offsets), Documentation/arch/x86/boot.rst and
zero-page.rst, arch/x86/kernel/kexec-bzimage64.c (what a second kernel inherits). Little-endian.
"""

import struct
from dataclasses import dataclass

from ..core.snapshot import E820Entry
from . import e820
from .bzimage import HEADER_START, BzImage
from .errors import LoadError

SIZE = 4096
"""Bytes of struct boot_params."""

SETUP_RNG_SEED = 9
"""setup_data type of the node that carries random bytes."""

TYPE_OF_LOADER = 0xD0
"""boot_params.hdr.type_of_loader of a kernel that was started by kexec."""

# What the running kernel was told of the screen, and of disks by a BIOS, and on what kind of PC
# it runs: (offset, size).
_INHERITED = (
    (0x000, 64),  # screen_info
    (0x140, 128),  # edid_info
    (0x1E9, 2),  # eddbuf_entries, edd_mbr_sig_buf_entries
    (0x23C, 4),  # hdr.hardware_subarch
    (0x290, 64),  # edd_mbr_sig_buffer
    (0xD00, 492),  # eddbuf
)
_NODE = struct.Struct("<QII")

NODE_HEADER = _NODE.size
"""Bytes of a struct setup_data before its payload: 16."""


@dataclass(frozen=True, slots=True)
class Told:
    """What boot_params says beside what is in the kernel's own header and what it inherits.

    Physical addresses and bytes; `initrd_size` 0 is no initrd, `setup_data` 0 an empty list.
    `efi_info` is 32 bytes, all of them 0 where EFI is left out: half of it crashes the kernel.
    """

    cmdline_address: int
    initrd_address: int
    initrd_size: int
    setup_data: int
    efi_info: bytes
    acpi_rsdp: int
    secure_boot: int
    e820: tuple[E820Entry, ...]


def compose(kernel: BzImage, running: bytes, told: Told) -> bytes:
    """The 4096 bytes for `kernel`; `running` are those that the running kernel was started with.

    Raises LoadError where those are not whole.
    """
    if len(running) != SIZE:
        raise LoadError(
            f"The running kernel's boot_params have {len(running)} bytes, not {SIZE}.",
            "Report this with the kernel's version: /sys/kernel/boot_params/data is wrong.",
        )
    params = bytearray(SIZE)
    params[HEADER_START : HEADER_START + len(kernel.setup_header)] = kernel.setup_header
    for offset, size in _INHERITED:
        params[offset : offset + size] = running[offset : offset + size]

    def put(offset: int, layout: str, *values: int) -> None:
        struct.pack_into(layout, params, offset, *values)

    def put_halves(low: int, high: int, value: int) -> None:
        put(low, "<I", value & 0xFFFF_FFFF)
        put(high, "<I", value >> 32)

    put(0x070, "<Q", told.acpi_rsdp)
    params[0x1C0:0x1E0] = told.efi_info
    listed = e820.table(told.e820)
    put(0x1E8, "<B", min(len(told.e820), e820.TABLE_MAX))
    params[0x2D0 : 0x2D0 + len(listed)] = listed
    put(0x1EC, "<B", told.secure_boot)
    put(0x1EF, "<B", 0)  # sentinel: whoever sets it asks for all of this to be cleared
    put(0x210, "<B", TYPE_OF_LOADER)
    put_halves(0x218, 0x0C0, told.initrd_address)
    put_halves(0x21C, 0x0C4, told.initrd_size)
    put_halves(0x228, 0x0C8, told.cmdline_address)
    put(0x250, "<Q", told.setup_data)
    assert len(params) == SIZE
    return bytes(params)


def command_line(kernel: BzImage, text: str) -> bytes:
    """The command line as it lies in memory, with its final NUL. Raises LoadError.

    A kernel would cut off without a word what is longer than its `cmdline_size`.
    """
    encoded = text.encode("utf-8", errors="surrogateescape")
    if b"\0" in encoded:
        raise LoadError("The command line has a NUL in it.", "Leave that out: it would end there.")
    if len(encoded) > kernel.cmdline_size:
        raise LoadError(
            f"The command line has {len(encoded)} bytes, and the kernel takes "
            f"{kernel.cmdline_size} at most.",
            "Shorten it.",
        )
    return encoded + b"\0"


def node(next_node: int, kind: int, payload: bytes) -> bytes:
    """A struct setup_data: `next_node` is the physical address of the following one, or 0."""
    return _NODE.pack(next_node, kind, len(payload)) + payload
