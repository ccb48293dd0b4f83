# SPDX-License-Identifier: LGPL-2.1-or-later
"""Rules for the tables that the next kernel is told of, and for what this kernel was told."""

import struct
from dataclasses import replace
from pathlib import Path

import pytest

from kexecprepd.core.finding import Finding, State
from kexecprepd.core.rules import validate
from kexecprepd.core.verdict import assess
from tests.support.recordings import (
    BOOT_PARAMS,
    EFI,
    KEXEC_FILE,
    KEXEC_SYSCALL,
    SETUP_DATA,
    Damage,
    add_setup_data,
    damage,
    materialise,
    patch,
    set_range,
    set_region,
    write,
)
from tests.support.snapshots import read_snapshot

VIRTUAL = "0xfffffffeff1ebc98\n"
ALL_ONES = "0xffffffffffffffff\n"
RAM = 0x100_0000
"""System RAM that no region keeps."""

KEPT = 0x7DD3_B000
"""System RAM that the boot-services region 5 keeps."""

ACPI = 0x7F77_D000
"""ACPI Tables, which is no region's."""

SYSTAB = "ACPI20={acpi:#x}\nACPI=0x7f77d000\nSMBIOS={smbios:#x}\n"


def systab(root: Path, acpi: int = 0x7F77_D014, smbios: int = 0x7F52_0000) -> None:
    write(root, f"{EFI}/systab", SYSTAB.format(acpi=acpi, smbios=smbios))


def efi_systab(root: Path, address: int) -> None:
    patch(root, BOOT_PARAMS, 0x1C4, struct.pack("<I", address & 0xFFFF_FFFF))
    patch(root, BOOT_PARAMS, 0x1D8, struct.pack("<I", address >> 32))


def handed(root: Path, **changes: int) -> None:
    """Change what the second kernel was handed."""
    offsets = {"fw_vendor": 0, "runtime": 8, "tables": 16, "smbios": 24}
    for name, value in changes.items():
        patch(root, f"{SETUP_DATA}/1/data", offsets[name], struct.pack("<Q", value))


DAMAGE: dict[str, dict[str, Damage]] = {
    "efi-info-incomplete": {
        "no signature": damage(lambda root: patch(root, BOOT_PARAMS, 0x1C0, bytes(4))),
        "32-bit signature": damage(lambda root: patch(root, BOOT_PARAMS, 0x1C0, b"EL32")),
        "no system table": damage(lambda root: efi_systab(root, 0)),
        "virtual system table": damage(lambda root: efi_systab(root, int(VIRTUAL, 16))),
        "descriptor version": damage(lambda root: patch(root, BOOT_PARAMS, 0x1CC, b"\x02")),
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
    "handed-over-otherwise": {
        "fw_vendor": damage(lambda root: handed(root, fw_vendor=0x7F52_AA20), on=KEXEC_SYSCALL),
        "config_table": damage(lambda root: handed(root, tables=0x7F5E_BCA0), on=KEXEC_FILE),
        "too short": damage(
            lambda root: write(root, f"{SETUP_DATA}/1/data", bytes(95)), on=KEXEC_SYSCALL
        ),
        "a second node": damage(lambda root: add_setup_data(root, 4, bytes(96)), on=KEXEC_SYSCALL),
    },
}


def findings_of(root: Path) -> tuple[Finding, ...]:
    """What validation says of a tree, but for the healthy note on boot services."""
    found = validate(read_snapshot(root))
    return tuple(each for each in found if each.code != "boot-services-kept")


@pytest.mark.parametrize(
    ("code", "name", "table"),
    [
        ("table-missing", "0", "config_table"),
        ("vendor-missing", "0", "fw_vendor"),
        ("table-in-ram", "config_table", "config_table"),
        ("table-in-ram", "efi_systab", "efi_systab"),
        ("table-in-ram", "runtime", "runtime"),
        ("table-outside-regions", "in a gap", "runtime"),
        ("table-unprotected", "RSDP", "RSDP"),
        ("table-unprotected", "SMBIOS", "SMBIOS"),
        ("table-unprotected", "SMBIOS3", "SMBIOS3"),
        ("vendor-in-ram", "in RAM", "fw_vendor"),
    ],
)
def test_the_table_is_named(code: str, name: str, table: str, tree: Path) -> None:
    DAMAGE[code][name].do(tree)

    (finding,) = findings_of(tree)

    assert finding.details["table"] == table
    assert table in finding.message or finding.message.startswith("The kernel knows")


def test_a_hidden_vendor_leaves_nothing_to_make_an_image_of(tree: Path) -> None:
    snapshot = read_snapshot(tree)
    assert snapshot.efi

    hidden = replace(snapshot, efi=replace(snapshot.efi, fw_vendor=None))

    assert assess(hidden).state is State.INVALID


@pytest.mark.parametrize("fields", [b"\0\0\0\0", b"EL32"])
def test_each_gap_of_efi_info_is_told(fields: bytes, tree: Path) -> None:
    patch(tree, BOOT_PARAMS, 0x1C0, fields)
    efi_systab(tree, 0)
    patch(tree, BOOT_PARAMS, 0x1CC, b"\x02")

    messages = [finding.message for finding in findings_of(tree)]

    assert len(messages) == 3
    for words in ("signature", "system table", "version 2"):
        assert sum(words in message for message in messages) == 1


def test_a_table_in_ram_that_a_region_keeps_is_not_lost(tree: Path) -> None:
    for name in ("config_table", "fw_vendor", "runtime"):
        write(tree, f"{EFI}/{name}", f"{KEPT + 0xFF8:#x}\n")
    efi_systab(tree, KEPT)
    systab(tree, acpi=KEPT, smbios=KEPT)

    assert {finding.code for finding in findings_of(tree)} == {"table-outside-regions"}


@pytest.mark.parametrize("address", [0x7F4E_C000, 0x7F6E_BFFF])
def test_the_first_and_the_last_byte_of_a_region_are_in_it(address: int, tree: Path) -> None:
    write(tree, f"{EFI}/config_table", f"{address:#x}\n")

    assert not findings_of(tree)


def test_runtime_in_ram_as_the_regions_are_is_told_of_the_regions_alone(tree: Path) -> None:
    set_range(tree, 8, type="System RAM")

    assert {finding.code for finding in findings_of(tree)} == {"region-in-usable-memory"}


def test_a_virtual_runtime_table_is_found_through_the_map(tmp_path: Path) -> None:
    root = materialise(KEXEC_SYSCALL, tmp_path)
    write(root, f"{EFI}/runtime", "0xfffffffeff1ec000\n")

    assert not findings_of(root)


def test_a_virtual_runtime_table_is_followed_into_ram(tmp_path: Path) -> None:
    root = materialise(KEXEC_SYSCALL, tmp_path)
    set_region(root, 4, phys_addr=0x5C_0000 + 0x2C000)  # takes the region away from under it

    codes = {finding.code for finding in findings_of(root)}

    assert "region-in-usable-memory" in codes
    assert "runtime-table-lost" not in codes


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("ACPI20=0x7f77d014\nSMBIOS3=0x7f520000\n", id="SMBIOS3 alone"),
        pytest.param("ACPI20=0x7f77d014\n", id="no SMBIOS"),
        pytest.param("ACPI=0x7f77d000\nSMBIOS=0x7f520000\n", id="ACPI 1.0 alone"),
        pytest.param("ACPI20=0xe0010\nSMBIOS=0xf0480\n", id="in the BIOS area"),
    ],
)
def test_healthy_systabs(text: str, tree: Path) -> None:
    write(tree, f"{EFI}/systab", text)

    assert not findings_of(tree)


def test_an_rsdp_that_this_kernel_was_told_is_enough(tmp_path: Path) -> None:
    root = materialise(KEXEC_SYSCALL, tmp_path)
    write(root, f"{EFI}/systab", "SMBIOS=0x7f520000\n")

    assert not findings_of(root)


@pytest.mark.parametrize("smbios", [0, (1 << 64) - 1])
@pytest.mark.parametrize("runtime", [0, 0x7F5E_BB98, 0xFFFF_FFFE_FF1E_BB98])
def test_loaders_differ_rightly_in_runtime_and_smbios(
    smbios: int, runtime: int, tmp_path: Path
) -> None:
    root = materialise(KEXEC_SYSCALL, tmp_path)
    handed(root, smbios=smbios, runtime=runtime)

    assert not findings_of(root)


def test_what_was_handed_over_is_told_with_what_is_shown(tmp_path: Path) -> None:
    root = materialise(KEXEC_SYSCALL, tmp_path)
    handed(root, tables=0x1234)

    (finding,) = findings_of(root)

    assert finding.details == {"table": "config_table", "handed": 0x1234, "shown": 0x7F5E_BC98}
