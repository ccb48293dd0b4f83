# SPDX-License-Identifier: LGPL-2.1-or-later
"""How this kernel was started, in words; and what there is of the firmware, as sysfs shows it."""

from dataclasses import replace
from pathlib import Path

import pytest

from kexecprepd.core.facilities import FACILITIES, Firmware, present
from kexecprepd.core.origin import Origin, StartedBy
from kexecprepd.core.receipt import Receipt
from kexecprepd.ctl.origin_view import as_json, as_text, fates
from kexecprepd.reading.firmware import read_firmware
from tests.support.recordings import (
    BOOT_PARAMS,
    KEXEC_SYSCALL,
    add_setup_data,
    materialise,
    patch,
    remove,
    write,
)

MINUTE = 60_000_000
LOADED_AT = 1_800_000_000_000_000
NOTHING: Firmware = dict.fromkeys(FACILITIES)
SHOWN = {"State": "ready", "Sha256": "ab" * 32, "RegionCount": 8}
RECEIPT = Receipt(
    from_boot_id="4f0c1c1e-58f8-4d49-b3a4-e2b6f0f1a2c3",
    sha256="ab" * 32,
    region_count=8,
    loader="kexecprepctl 0.2",
    loaded_at=LOADED_AT,
    kexec_count=2,
    had=("variables", "dmi"),
)


def words(receipt: Receipt | None, variables: bool | None = True, later: int = 2 * MINUTE) -> str:
    """Of a kernel that was started by kexec."""
    firmware = {**NOTHING, "variables": variables}
    return as_text(Origin(StartedBy.KEXEC, receipt), SHOWN, firmware, LOADED_AT + later)


def test_a_chain_that_went_well_is_told_in_one_sentence() -> None:
    assert words(RECEIPT) == (
        "kexec, the 3rd kernel since power-on (2 kexecs), from boot 4f0c1c1e..., "
        "loaded 2 minutes ago by kexecprepctl 0.2; what was handed over is what arrived; "
        "EFI variables answer"
    )


@pytest.mark.parametrize(
    ("count", "ordinal"),
    [
        (1, "the 2nd kernel since power-on (1 kexec)"),
        (2, "the 3rd"),
        (3, "the 4th"),
        (10, "the 11th"),
        (11, "the 12th"),
        (12, "the 13th"),
        (20, "the 21st"),
        (111, "the 112th"),
        (None, "at least the 3rd kernel since power-on"),
    ],
)
def test_kernels_are_counted_from_power_on(count: int | None, ordinal: str) -> None:
    assert f", {ordinal}" in words(replace(RECEIPT, kexec_count=count))


@pytest.mark.parametrize(
    ("later", "told"),
    [
        (0, "less than a minute ago"),
        (MINUTE, "1 minute ago"),
        (119 * MINUTE, "1 hour ago"),
        (72 * 60 * MINUTE, "3 days ago"),
        (-MINUTE, "in what this clock calls the future"),
    ],
)
def test_the_age_of_a_load_is_told(later: int, told: str) -> None:
    assert f"loaded {told} by" in words(RECEIPT, later=later)


@pytest.mark.parametrize(
    ("receipt", "told"),
    [
        (replace(RECEIPT, sha256="cd" * 32), "what was handed over is not what arrived"),
        (replace(RECEIPT, region_count=9), "what was handed over is not what arrived"),
        (replace(RECEIPT, sha256="", region_count=0), "EFI was left out"),
    ],
)
def test_what_arrived_is_compared(receipt: Receipt, told: str) -> None:
    assert f"; {told}; " in words(receipt)


def test_without_a_receipt_the_count_is_not_known() -> None:
    assert words(None, variables=False) == (
        "kexec, without a receipt: the number of kexecs is not known; EFI variables do not answer"
    )


KEPT = replace(RECEIPT, loader="kexecprepd 0.2", kept=True)


def test_what_systemd_kept_is_told_without_a_load() -> None:
    assert words(KEPT) == (
        "kexec, the 3rd kernel since power-on (2 kexecs), from boot 4f0c1c1e..., "
        "by what kexecprepd 0.2 left there; what that kernel had is what arrived; "
        "EFI variables answer"
    )
    assert "what that kernel had is not what arrived" in words(replace(KEPT, region_count=9))


def test_a_daemon_that_had_no_image_does_not_say_that_efi_was_left_out() -> None:
    kept = replace(KEPT, sha256="", region_count=0)

    assert "; whether what that kernel had is what arrived is not known; " in words(kept)
    assert as_json(Origin(StartedBy.KEXEC, kept), SHOWN, NOTHING)["arrived"] is None


@pytest.mark.parametrize("receipt", [RECEIPT, KEPT])
@pytest.mark.parametrize(("state", "outcome"), [("invalid", None), ("unsupported", False)])
def test_where_nothing_could_be_read_it_is_not_said_to_be_lost(
    state: str, outcome: bool | None, receipt: Receipt
) -> None:
    shown = {"State": state, "Sha256": "", "RegionCount": 0}

    assert as_json(Origin(StartedBy.KEXEC, receipt), shown, NOTHING)["arrived"] is outcome


def test_no_kexec_needs_no_more_words() -> None:
    assert as_text(Origin(StartedBy.BOOT_LOADER, None), SHOWN, NOTHING, 0) == "a boot loader"
    assert fates(Origin(StartedBy.BOOT_LOADER, None), NOTHING) == {}


def test_what_was_lost_is_told_by_what_was_there_before() -> None:
    firmware = {**NOTHING, "variables": True, "dmi": False, "bgrt": True, "esrt": False}

    told = fates(Origin(StartedBy.KEXEC, RECEIPT), firmware)

    assert list(told.values())[:4] == [
        "there, as before",
        "lost",
        "there, and not known before",
        "not there, nor known before",
    ]
    assert set(fates(Origin(StartedBy.KEXEC, None), firmware).values()) == {
        "there; before is not known",
        "not there; before is not known",
        "unknown",
    }


def test_programs_are_told_what_is_not_known_as_null() -> None:
    shown = as_json(Origin(StartedBy.KEXEC, None), SHOWN, NOTHING)

    assert (shown["kexec-count"], shown["receipt"], shown["arrived"]) == (None, None, None)
    assert shown["firmware"]["dmi"] == {"before": None, "now": None}


FIRST_RECORD = "6,1,0,-;Linux version 6.12\n"
TABLES = "6,9,0,-;efi: SMBIOS=0x3f5 ACPI=0x3f7 ACPI 2.0=0x3f7 MEMATTR={} MOKvar=0x3d1\n"


def furnish(root: Path) -> None:
    """Everything that a first kernel can have of the firmware."""
    write(root, "sys/firmware/efi/efivars/BootOrder-8be4df61-93ca-11d2-aa0d-00e098032b8c", "")
    write(root, "sys/firmware/dmi/tables/DMI", "")
    write(root, "sys/firmware/acpi/bgrt/image", "")
    write(root, "sys/firmware/efi/esrt/fw_resource_count", "0\n")
    write(root, "sys/firmware/efi/mok-variables/MokListRT", "")
    patch(root, BOOT_PARAMS, 0x1EC, b"\x02")
    write(root, "dev/kmsg", FIRST_RECORD + TABLES.format("0x3dd12018"))
    add_setup_data(root, 3, bytes(64))


def test_all_that_there_is_is_seen(tree: Path) -> None:
    furnish(tree)

    assert present(read_firmware(tree)) == tuple(FACILITIES)


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("variables", "sys/firmware/efi/efivars/BootOrder-8be4df61-93ca-11d2-aa0d-00e098032b8c"),
        ("dmi", "sys/firmware/dmi/tables"),
        ("bgrt", "sys/firmware/acpi/bgrt"),
        ("esrt", "sys/firmware/efi/esrt"),
        ("mok", "sys/firmware/efi/mok-variables"),
        ("option-roms", "sys/kernel/boot_params/setup_data/0"),
    ],
)
def test_what_is_not_there_is_missed_and_nothing_else(name: str, path: str, tree: Path) -> None:
    furnish(tree)
    remove(tree, path)

    found = read_firmware(tree)

    assert found[name] is False
    assert {other for other, there in found.items() if not there} == {name}


@pytest.mark.parametrize("mode", [b"\0", b"\1"])
def test_a_secure_boot_state_that_nobody_knows_is_none(mode: bytes, tree: Path) -> None:
    furnish(tree)
    patch(tree, BOOT_PARAMS, 0x1EC, mode)

    assert read_firmware(tree)["secure-boot"] is False


@pytest.mark.parametrize(
    ("log", "there"),
    [
        (TABLES.format("0x3dd12018"), True),
        (TABLES.format("0xffffffffffffffff"), False),
        ("6,9,0,-;efi: SMBIOS=0x3f5 ACPI=0x3f7 ACPI 2.0=0x3f7\n", False),
        ("6,9,0,-;something else MEMATTR=0x1\n", None),
        ("", None),
    ],
)
def test_the_kernels_log_tells_of_memattr(log: str, there: bool | None, tree: Path) -> None:
    write(tree, "dev/kmsg", log)

    assert read_firmware(tree)["memattr"] is there


def test_what_a_recording_does_not_hold_is_not_known(tmp_path: Path) -> None:
    found = read_firmware(materialise(KEXEC_SYSCALL, tmp_path))

    assert (found["variables"], found["dmi"], found["bgrt"], found["memattr"]) == (None,) * 4
