# SPDX-License-Identifier: LGPL-2.1-or-later
"""Fills in what the next kernel reads first: struct boot_params, and its command line.

Sources: Documentation/arch/x86/boot.rst and zero-page.rst, arch/x86/kernel/kexec-bzimage64.c (what
a second kernel inherits).
"""

from dataclasses import dataclass

from ..abi import bootparam
from ..abi.bootparam import E820Entry
from . import e820
from .bzimage import BzImage
from .errors import LoadError

TYPE_OF_LOADER = bootparam.LOADER_KEXEC << 4
"""boot_params.hdr.type_of_loader of a kernel that was started by kexec."""

_INHERITED = (
    bootparam.EDID_INFO,
    bootparam.EDD_COUNTS,
    bootparam.HARDWARE_SUBARCH,
    bootparam.EDD_MBR_SIG_BUFFER,
    bootparam.EDDBUF,
)
"""What the running kernel was told of the monitor, of disks by a BIOS, and of the kind of PC."""


@dataclass(frozen=True, slots=True)
class Told:
    """What boot_params says beside what is in the kernel's own header and what it inherits.

    `screen_info` is 64 bytes.
    Physical addresses and bytes; `initrd_size` 0 is no initrd, `setup_data` 0 an empty list.
    `efi_info` is 32 bytes, all of them 0 where EFI is left out: half of it crashes the kernel.
    """

    screen_info: bytes
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
    if len(running) != bootparam.SIZE:
        raise LoadError(
            f"The running kernel's boot_params have {len(running)} bytes, not {bootparam.SIZE}.",
            "Report this with the kernel's version: /sys/kernel/boot_params/data is wrong.",
        )
    params = bytearray(bootparam.SIZE)
    header_end = bootparam.HEADER_START + len(kernel.setup_header)
    params[bootparam.HEADER_START : header_end] = kernel.setup_header
    for area in _INHERITED:
        area.put(params, area.get(running))
    bootparam.SCREEN_INFO.put(params, told.screen_info)
    bootparam.ACPI_RSDP_ADDR.put(params, told.acpi_rsdp)
    bootparam.EFI_INFO.put(params, told.efi_info)
    bootparam.E820_ENTRIES.put(params, min(len(told.e820), bootparam.E820_MAX_ENTRIES))
    bootparam.E820_TABLE.put(params, e820.table(told.e820))
    bootparam.SECURE_BOOT.put(params, told.secure_boot)
    bootparam.SENTINEL.put(params, 0)
    bootparam.TYPE_OF_LOADER.put(params, TYPE_OF_LOADER)
    bootparam.RAMDISK_IMAGE.put(params, told.initrd_address)
    bootparam.RAMDISK_SIZE.put(params, told.initrd_size)
    bootparam.CMD_LINE_PTR.put(params, told.cmdline_address)
    bootparam.SETUP_DATA.put(params, told.setup_data)
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
