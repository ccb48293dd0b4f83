# SPDX-License-Identifier: LGPL-2.1-or-later
"""Harm to the tables that the next kernel is told of."""

import struct
from pathlib import Path

from tests.support.recordings import (
    BOOT_PARAMS,
    EFI,
    KEXEC_SYSCALL,
    patch,
    write,
)

from .damage import Damage, damage

VIRTUAL = "0xfffffffeff1ebc98\n"
ALL_ONES = "0xffffffffffffffff\n"
RAM = 0x100_0000
"""System RAM that no region keeps."""

KEPT = 0x7DD3_B000
"""System RAM that the boot-services region 5 keeps."""

ACPI = 0x7F77_D000
"""ACPI Tables, which is no region's."""

BEYOND = 1 << 50
"""Where neither map has anything, nor anything above."""

SYSTAB = "ACPI20={acpi:#x}\nACPI=0x7f77d000\nSMBIOS={smbios:#x}\n"


def systab(root: Path, acpi: int = 0x7F77_D014, smbios: int = 0x7F52_0000) -> None:
    write(root, f"{EFI}/systab", SYSTAB.format(acpi=acpi, smbios=smbios))


def efi_systab(root: Path, address: int) -> None:
    patch(root, BOOT_PARAMS, 0x1C4, struct.pack("<I", address & 0xFFFF_FFFF))
    patch(root, BOOT_PARAMS, 0x1D8, struct.pack("<I", address >> 32))


DAMAGE: dict[str, dict[str, Damage]] = {
    "efi-info-incomplete": {
        "no signature": damage(lambda root: patch(root, BOOT_PARAMS, 0x1C0, bytes(4))),
        "32-bit signature": damage(lambda root: patch(root, BOOT_PARAMS, 0x1C0, b"EL32")),
        "no system table": damage(lambda root: efi_systab(root, 0)),
        "virtual system table": damage(lambda root: efi_systab(root, int(VIRTUAL, 16))),
        "descriptor version": damage(lambda root: patch(root, BOOT_PARAMS, 0x1CC, b"\x02")),
        "no descriptor version": damage(lambda root: patch(root, BOOT_PARAMS, 0x1CC, b"\0")),
    },
    "firmware-width": {
        "32 against EL64": damage(lambda root: write(root, f"{EFI}/fw_platform_size", "32\n")),
    },
    "efi-memmap-empty": {
        "no bytes": damage(lambda root: patch(root, BOOT_PARAMS, 0x1D4, bytes(4))),
        "descriptors of no size": damage(lambda root: patch(root, BOOT_PARAMS, 0x1C8, bytes(4))),
    },
    "table-missing": {
        "0": damage(lambda root: write(root, f"{EFI}/config_table", "0x0\n")),
        "all-ones": damage(lambda root: write(root, f"{EFI}/config_table", ALL_ONES)),
        "virtual": damage(lambda root: write(root, f"{EFI}/config_table", VIRTUAL)),
    },
    "vendor-missing": {
        "0": damage(lambda root: write(root, f"{EFI}/fw_vendor", "0x0\n")),
        "all-ones": damage(lambda root: write(root, f"{EFI}/fw_vendor", ALL_ONES)),
    },
    "table-in-ram": {
        "config_table": damage(lambda root: write(root, f"{EFI}/config_table", f"{RAM:#x}\n")),
        "efi_systab": damage(lambda root: efi_systab(root, RAM)),
        "efi_systab above 4 GiB": damage(lambda root: efi_systab(root, 0x1_2345_6000)),
        "runtime": damage(lambda root: write(root, f"{EFI}/runtime", f"{RAM:#x}\n")),
        "the byte behind a region": damage(
            lambda root: write(root, f"{EFI}/config_table", f"{KEPT + 0x1000:#x}\n")
        ),
    },
    "table-misaligned": {
        "config_table": damage(lambda root: write(root, f"{EFI}/config_table", "0x7f5ebc9c\n")),
        "efi_systab": damage(lambda root: efi_systab(root, 0x7F5E_B019)),
    },
    "table-beyond-memory": {
        "config_table": damage(lambda root: write(root, f"{EFI}/config_table", f"{BEYOND:#x}\n")),
        "efi_systab": damage(lambda root: efi_systab(root, BEYOND)),
    },
    "table-outside-regions": {
        "in ACPI's memory": damage(lambda root: write(root, f"{EFI}/config_table", f"{ACPI:#x}\n")),
        "in a gap": damage(lambda root: write(root, f"{EFI}/runtime", "0xd0000000\n")),
        "in boot services": damage(lambda root: write(root, f"{EFI}/config_table", f"{KEPT:#x}\n")),
        "in MMIO": damage(lambda root: efi_systab(root, 0xFFC0_0000)),
    },
    "vendor-in-ram": {
        "in RAM": damage(lambda root: write(root, f"{EFI}/fw_vendor", f"{RAM:#x}\n")),
    },
    "runtime-table-lost": {
        "none": damage(lambda root: write(root, f"{EFI}/runtime", "0x0\n")),
        "first kernel": damage(lambda root: write(root, f"{EFI}/runtime", "0xffffffff00001000\n")),
        "second kernel": damage(
            lambda root: write(root, f"{EFI}/runtime", "0xfffffffeff2ec000\n"), on=KEXEC_SYSCALL
        ),
    },
    "rsdp-unknown": {
        "neither": damage(lambda root: write(root, f"{EFI}/systab", "SMBIOS=0x7f520000\n")),
        "0": damage(lambda root: write(root, f"{EFI}/systab", "ACPI20=0x0\nACPI=0x0\n")),
    },
    "table-unprotected": {
        "RSDP": damage(lambda root: systab(root, acpi=RAM)),
        "the RSDP that this kernel was told": damage(
            lambda root: patch(root, BOOT_PARAMS, 0x70, struct.pack("<Q", RAM))
        ),
        "SMBIOS": damage(lambda root: systab(root, smbios=RAM)),
        "SMBIOS3": damage(
            lambda root: write(root, f"{EFI}/systab", f"ACPI20=0x7f77d014\nSMBIOS3={RAM:#x}\n")
        ),
    },
}
