# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a kexec needs or loses beside the maps, told from trees that say it."""

import re
import struct
from pathlib import Path

import pytest

from kexecprepd.core.surroundings import CAUTIONS, cautions
from kexecprepd.ctl.__main__ import main
from kexecprepd.reading.kernel import read_system
from kexecprepd.reading.surroundings import read_surroundings
from tests.support.recordings import (
    BOOT_PARAMS,
    KEXEC_FILE,
    KEXEC_SYSCALL,
    materialise,
    patch,
    write,
)

EFIVARS = "sys/firmware/efi/efivars"
GLOBAL = "8be4df61-93ca-11d2-aa0d-00e098032b8c"
LOADER = "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"
LOCKDOWN = "sys/kernel/security/lockdown"


def variable(tree: Path, name: str, value: bytes, vendor: str = GLOBAL) -> None:
    """Set an EFI variable: efivarfs has four bytes of attributes before the value."""
    write(tree, f"{EFIVARS}/{name}-{vendor}", struct.pack("<I", 7) + value)


def codes(tree: Path) -> list[str]:
    found = cautions(read_surroundings(tree, read_system(tree)))
    assert all(each.hint and not re.search(r"0x|[0-9]{4}", each.message) for each in found)
    return [each.code for each in found]


def test_an_ordinary_machine_gives_no_cause(tree: Path) -> None:
    variable(tree, "OsIndications", struct.pack("<Q", 0))
    variable(tree, "SecureBoot", b"\0")
    write(tree, "proc/cpuinfo", "flags\t\t: fpu sev sev_es sev_snp\nmodel name\t: tdx_guest\n")

    assert codes(tree) == []


@pytest.mark.parametrize(
    ("bits", "expected"),
    [
        (1 << 0, ["firmware-setup-waits"]),
        (1 << 2, ["firmware-update-waits"]),
        (1 << 5, ["firmware-recovery-waits"]),
        (1 << 6, ["firmware-recovery-waits"]),
        (1 << 0 | 1 << 2, ["firmware-setup-waits", "firmware-update-waits"]),
        (1 << 1 | 1 << 3, []),
    ],
)
def test_what_is_asked_of_the_firmware_waits(tree: Path, bits: int, expected: list[str]) -> None:
    variable(tree, "OsIndications", struct.pack("<Q", bits))

    assert codes(tree) == expected


def test_what_is_to_be_started_once_waits(tree: Path) -> None:
    variable(tree, "BootNext", b"\x03\0")
    assert codes(tree) == ["boot-next-waits"]

    variable(tree, "LoaderEntryOneShot", "windows\0".encode("utf-16-le"), LOADER)
    assert codes(tree) == ["boot-next-waits", "loader-entry-waits"]


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ("saved_entry=0\nnext_entry=2\n####", ["loader-entry-waits"]),
        ("saved_entry=0\nnext_entry=\n####", []),
    ],
)
def test_what_grub_is_to_start_once_waits(
    tree: Path, environment: str, expected: list[str]
) -> None:
    write(tree, "boot/grub/grubenv", f"# GRUB Environment Block\n{environment}")

    assert codes(tree) == expected


@pytest.mark.parametrize(
    ("path", "content", "words"),
    [
        ("proc/cpuinfo", "processor\t: 0\nflags\t\t: fpu tdx_guest la57\n", "TDX"),
        ("dev/tdx_guest", "", "TDX"),
        ("dev/sev-guest", "", "SEV-SNP"),
        ("sys/devices/system/cpu/sev/vmpl", "0\n", "SEV-SNP"),
    ],
)
def test_a_guest_whose_memory_is_its_own_is_named(
    tree: Path, path: str, content: str, words: str
) -> None:
    write(tree, path, content)

    (found,) = cautions(read_surroundings(tree, read_system(tree)))

    assert found.code == "confidential-guest"
    assert words in found.message


@pytest.mark.parametrize("lockdown", ["[none] integrity confidentiality\n", None])
def test_secure_boot_without_lockdown_may_be_ima_s_to_refuse(
    tree: Path, lockdown: str | None
) -> None:
    patch(tree, BOOT_PARAMS, 0x1EC, b"\x03")
    if lockdown is not None:
        write(tree, LOCKDOWN, lockdown)

    assert codes(tree) == ["ima-may-refuse"]


def test_lockdown_leaves_ima_nothing_to_refuse(tree: Path) -> None:
    patch(tree, BOOT_PARAMS, 0x1EC, b"\x03")
    write(tree, LOCKDOWN, "none [integrity] confidentiality\n")

    assert codes(tree) == []


@pytest.mark.parametrize(("value", "expected"), [(b"\1", ["ima-may-refuse"]), (b"\0", [])])
def test_the_firmware_s_variable_counts_where_the_kernel_was_not_told(
    tmp_path: Path, value: bytes, expected: list[str]
) -> None:
    root = materialise(KEXEC_SYSCALL, tmp_path)
    variable(root, "SecureBoot", value)

    assert codes(root) == [*expected, "secure-boot-lost"]


@pytest.mark.parametrize(
    ("cmdline", "on"),
    [
        ("quiet kho=on", True),
        ("kho=1", True),
        ("kho=on kho=off", False),
        ("kho_scratch=16M xkho=on", False),
        ("quiet", False),
    ],
)
def test_kexec_handover_is_known_by_the_command_line(tree: Path, cmdline: str, on: bool) -> None:
    write(tree, "proc/cmdline", f"{cmdline}\n")

    assert codes(tree) == (["kexec-handover"] if on else [])


@pytest.mark.parametrize("path", ["dev/liveupdate", "sys/kernel/debug/kho/out/fdt"])
def test_kexec_handover_is_known_by_what_is_there_for_it(tree: Path, path: str) -> None:
    write(tree, path, "")

    assert codes(tree) == ["kexec-handover"]


def test_every_caution_is_given_here_in_its_order(tmp_path: Path) -> None:
    tree = materialise(KEXEC_SYSCALL, tmp_path)
    for name, value in (
        ("OsIndications", struct.pack("<Q", 0x65)),
        ("BootNext", b"\0\0"),
    ):
        variable(tree, name, value)
    variable(tree, "LoaderEntryOneShot", b"x\0", LOADER)
    write(tree, "dev/tdx_guest", "")
    write(tree, "dev/liveupdate", "")
    variable(tree, "SecureBoot", b"\1")

    assert codes(tree) == [caution.code for caution in CAUTIONS]


def test_check_tells_them_beside_the_map(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    variable(tree, "BootNext", b"\0\0")
    patch(tree, BOOT_PARAMS, 0x1EC, b"\x03")
    write(tree, "sys/kernel/kexec_loaded", "0\n")

    assert main(["check", "--root", str(tree)]) == 0

    shown = capsys.readouterr().out
    assert "BootNext names what is to be started next" in shown
    assert "kexec_load(2)          allowed, unless IMA's policy refuses it" in shown

    main(["check", "--root", str(tree), "--json=short"])
    shown = capsys.readouterr().out
    assert '"kexec-load-allowed":null' in shown
    assert '"kexec-file-load-allowed":true' in shown
    assert '"code":"boot-next-waits"' in shown


def test_secure_boot_that_was_lost_on_the_way_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lost = materialise(KEXEC_SYSCALL, tmp_path / "lost")
    kept = materialise(KEXEC_FILE, tmp_path / "kept")

    assert codes(lost) == ["secure-boot-lost"]
    assert codes(kept) == []
    main(["check", "--root", str(lost)])
    assert "Secure Boot            not told by what started this kernel" in capsys.readouterr().out


def test_a_boot_loader_that_says_nothing_of_secure_boot_is_told_in_words(
    tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    patch(tree, BOOT_PARAMS, 0x1EC, b"\0")
    main(["check", "--root", str(tree)])
    assert "Secure Boot            not told by what started this kernel" in capsys.readouterr().out


def test_a_boot_loader_that_says_nothing_of_secure_boot_loses_nothing(tree: Path) -> None:
    patch(tree, BOOT_PARAMS, 0x1EC, b"\0")

    assert codes(tree) == []
