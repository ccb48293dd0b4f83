# SPDX-License-Identifier: LGPL-2.1-or-later
"""Rules for the tables that the next kernel is told of."""

from dataclasses import replace
from pathlib import Path

import pytest

from kexecprepd.core.finding import State
from kexecprepd.core.verdict import assess
from tests.support.damages import damaged
from tests.support.damages.tables import KEPT, efi_systab, systab
from tests.support.findings import codes_of, findings_of
from tests.support.recordings import (
    BOOT_PARAMS,
    EFI,
    FIRST_KERNEL,
    KEXEC_SYSCALL,
    materialise,
    patch,
    set_range,
    set_region,
    write,
)
from tests.support.snapshots import recorded


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
def test_the_table_is_named(code: str, name: str, table: str) -> None:
    (finding,) = findings_of(damaged(code, name))

    assert finding.details["table"] == table
    assert table in finding.message or finding.message.startswith("The kernel knows")


def test_boot_params_that_are_hidden_are_told_once() -> None:
    (finding,) = findings_of(replace(recorded(FIRST_KERNEL), boot_params=None))

    assert finding.message == "The kernel does not show its own boot_params."


def test_tables_that_are_hidden_are_no_tables_that_are_wrong() -> None:
    codes = codes_of(replace(recorded(FIRST_KERNEL), efi=None))

    assert [each for each in codes if each.startswith(("table-", "vendor-"))] == []


def test_a_hidden_vendor_leaves_nothing_to_make_an_image_of() -> None:
    snapshot = recorded(FIRST_KERNEL)
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


@pytest.mark.parametrize(("address", "is_missing"), [((1 << 52) - 8, False), (1 << 52, True)])
def test_no_table_lies_where_no_address_can_be(tree: Path, address: int, is_missing: bool) -> None:
    write(tree, f"{EFI}/config_table", f"{address:#x}\n")

    assert ("table-missing" in codes_of(tree)) is is_missing


def test_a_table_in_ram_that_a_region_keeps_is_not_lost(tree: Path) -> None:
    for name in ("config_table", "fw_vendor", "runtime"):
        write(tree, f"{EFI}/{name}", f"{KEPT + 0xFF8:#x}\n")
    efi_systab(tree, KEPT)
    systab(tree, acpi=KEPT, smbios=KEPT)

    assert {finding.code for finding in findings_of(tree)} == {"table-outside-regions"}


@pytest.mark.parametrize("address", [0x7F4E_C000, 0x7F6E_BFF8])
def test_the_first_and_the_last_place_of_a_region_are_in_it(address: int, tree: Path) -> None:
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
