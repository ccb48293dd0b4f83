# SPDX-License-Identifier: LGPL-2.1-or-later
"""A chain of kernels, each loaded by the one before: EFI and the firmware's tables survive it.

And each knows how many there were, by the receipts; what other loaders lose is told.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kexecprepd.wire.journal import Message
from tests.lab.guest import Guest

from . import autopkgtest
from .machines import CHAINS, OPTION_ROMS, TESTING, WITH_LOGO, Machine, marks, on
from .service import properties, read_journal
from .survivors import MEMORY_MAP, SECURE_BOOT_DISABLED, VARIABLES, Kernel, files, names

pytestmark = pytest.mark.vm

KEXECS = 5
FEWER = 2
"""Where nothing differs but the release in between, and each kexec takes a minute."""

LINKS = [
    pytest.param(machine, number, marks=marks(machine), id=f"{machine}-{number}")
    for machine in CHAINS
    for number in range(1, (FEWER if machine.suite == "trixie" else KEXECS) + 1)
]

ONE = WITH_LOGO[:1]
"""For what is ours alone, or 6.1's, whatever kernel runs: each kexec takes a minute."""

VENDOR = "6b657865-6370-7265-7064-766d74657374"
ATTRIBUTES = (7).to_bytes(4, "little")  # NON_VOLATILE, BOOTSERVICE_ACCESS, RUNTIME_ACCESS

OPTION_ROM = Path("/usr/share/seabios/vgabios-stdvga.bin")
"""That of QEMU's standard graphics card, on this machine."""

ROM_HEADER = 48
"""Bytes before it in its node: struct pci_setup_rom, without its setup_data, in asm/pci.h."""

# kexecprepctl with a receipt in it that is not true.
LIAR = """
import sys
from dataclasses import replace
from kexecprepd.core.receipt import Receipt
from kexecprepd.ctl.__main__ import main

pack = Receipt.pack
Receipt.pack = lambda self: pack(replace(self, sha256="ab" * 32))
sys.exit(main(sys.argv[1:]))
"""


def checked(guest: Guest) -> dict[str, Any]:
    """What `kexecprepctl check` says."""
    shown: dict[str, Any] = json.loads(
        guest.run(["kexecprepctl", "check", "--json=short"], check=False).stdout
    )
    return shown


def assert_no_receipt(guest: Guest) -> None:
    """This kernel does not know how many kexecs there were, and says so."""
    told = properties(guest)
    assert (told["StartedBy"], told["KexecCount"], told["Receipt"]) == ("kexec", 0, {})
    words = guest.run(["kexecprepctl", "status"]).stdout
    assert "Started by: kexec, without a receipt" in words
    option_roms = checked(guest)["origin"]["firmware"]["option-roms"]
    assert option_roms == {"before": None, "now": False}


def write_variable(guest: Guest, name: str, value: bytes) -> None:
    """Make an EFI variable of our own, through the firmware's runtime services."""
    path = f"{VARIABLES}/{name}-{VENDOR}"
    guest.run_bytes(["dd", f"of={path}", "bs=4096", "status=none"], input=ATTRIBUTES + value)


def read_variable(guest: Guest, name: str) -> bytes:
    """Its value."""
    data = guest.read_file(f"{VARIABLES}/{name}-{VENDOR}")
    assert data[:4] == ATTRIBUTES
    return data[4:]


def load(guest: Guest) -> None:
    """`kexecprepctl load` of the guest's own kernel."""
    kernel, initrd = files(guest)
    command = ["kexecprepctl", "load", kernel, "--initrd", initrd, "--reuse-cmdline"]
    guest.run(command, timeout=900)


@pytest.fixture(scope="module")
def first(guest: Guest) -> Kernel:
    """What the kernel shows that the firmware started."""
    return Kernel.of(guest)


@on(CHAINS)
def test_the_first_kernel_has_what_can_be_lost(first: Kernel) -> None:
    assert first.regions
    assert first.sha256
    assert first.variables
    assert first.bgrt
    assert first.dmi
    assert "BGRT" in first.acpi
    size = ROM_HEADER + OPTION_ROM.stat().st_size
    assert [len(rom) for rom in first.roms] == [size] * OPTION_ROMS
    assert first.efi_payload is None


@on(CHAINS)
def test_the_first_kernel_knows_that_it_is_the_first(guest: Guest) -> None:
    told = properties(guest)
    assert (told["StartedBy"], told["KexecCount"], told["Receipt"]) == ("boot-loader", 0, {})
    assert "Started by: a boot loader\n" in guest.run(["kexecprepctl", "status"]).stdout


@on(ONE)
def test_a_refused_load_leaves_what_is_loaded(guest: Guest) -> None:
    kernel, _ = files(guest)
    guest.run(["sh", "-c", f"head -c 100000 {kernel} >/run/truncated"])
    load(guest)
    refused = guest.run(["kexecprepctl", "load", "/run/truncated"], check=False)
    assert (refused.returncode, "truncated" in refused.stderr) == (1, True)
    assert guest.run(["kexecprepctl", "load", kernel], user="tester", check=False).returncode == 7
    assert guest.read_file("/sys/kernel/kexec_loaded") == b"1\n"
    guest.run(["kexecprepctl", "unload"])
    assert guest.read_file("/sys/kernel/kexec_loaded") == b"0\n"


@pytest.mark.parametrize(("machine", "number"), LINKS, indirect=["machine"], scope="session")
def test_nothing_is_lost(guest: Guest, machine: Machine, first: Kernel, number: int) -> None:
    write_variable(guest, f"Before{number}", b"written by the one before")
    boot_id = properties(guest)["BootID"]
    load(guest)
    image = guest.read_file("/run/kexecprepd/setup_data")
    assert guest.reboot(["kexecprepctl", "exec"]) == "running"

    assert guest.run(["findmnt", "-n", "-o", "FSTYPE", VARIABLES]).stdout == "efivarfs\n"
    assert read_variable(guest, f"Before{number}") == b"written by the one before"
    write_variable(guest, f"In{number}", b"written here")
    assert read_variable(guest, f"In{number}") == b"written here"
    now = Kernel.of(guest)
    assert now.efi_payload == image[16:112]
    assert now.variables >= first.variables
    assert replace(now, efi_payload=None, variables=first.variables) == first
    told = properties(guest)
    assert (told["State"], told["StartedBy"], told["KexecCount"]) == ("ready", "kexec", number)
    assert told["Receipt"]["from-boot-id"]["data"] == boot_id
    words = guest.run(["kexecprepctl", "status"], user="tester").stdout
    assert "what was handed over is what arrived; EFI variables answer" in words
    fates = checked(guest)["origin"]["firmware"]
    # Linux 6.14 and later leave the memory attributes table alone after a kexec, on purpose.
    left_alone = {"memattr"} if machine == TESTING else set()
    lost = {name for name, was in fates.items() if was["before"] and not was["now"]}
    assert lost <= left_alone
    assert (
        fates["variables"] == fates["bgrt"] == fates["option-roms"] == {"before": True, "now": True}
    )


@on(ONE)
def test_the_journal_explains_the_receipt(guest: Guest) -> None:
    entry = read_journal(guest, "--catalog", f"MESSAGE_ID={Message.RECEIPT}")
    assert f"kexecs since power-on: {KEXECS}" in entry
    subject = entry.partition("Subject: ")[2].splitlines()[0]
    assert subject.startswith("This kernel was started by kexec, and kexecprepctl ")
    assert subject.endswith(" tells of it")
    assert "Defined-By: kexecprepd" in entry


@on(ONE)
def test_the_package_s_own_test_goes_a_kexec(guest: Guest, first: Kernel) -> None:
    # The word that it leaves for after the reboot.
    mark = f"{first.sha256}-{properties(guest)['BootID']}"
    assert guest.reboot(autopkgtest.prepare(guest, "kexec")) == "running"
    done = guest.run(autopkgtest.after_reboot(guest, "kexec", mark))
    assert "from-boot-id" in done.stdout


def start_by_the_kernel_s_own_loader(guest: Guest) -> None:
    """kexec_file_load(2) of the guest's own kernel, and on into it."""
    kernel, initrd = files(guest)
    guest.run(["kexec", "-s", "-l", kernel, f"--initrd={initrd}", "--reuse-cmdline"], timeout=900)
    assert guest.reboot(["systemctl", "kexec"]) == "running"


@pytest.fixture(scope="module")
def ranges_before(guest: Guest) -> int:
    """Entries of the memory map in the first kernel that the kernel's own loader has started."""
    return len(names(guest, MEMORY_MAP))


@on(WITH_LOGO)
def test_the_kernel_s_own_loader_keeps_as_much(guest: Guest, first: Kernel) -> None:
    start_by_the_kernel_s_own_loader(guest)
    now = Kernel.of(guest)
    assert now.variables >= first.variables
    assert now.roms == ()
    assert replace(now, efi_payload=None, variables=first.variables, roms=first.roms) == first
    assert_no_receipt(guest)


@on(ONE)
def test_a_receipt_that_is_not_true_is_told_and_breaks_nothing(
    guest: Guest, first: Kernel, ranges_before: int
) -> None:
    kernel, initrd = files(guest)
    options = ["load", kernel, "--initrd", initrd, "--reuse-cmdline"]
    guest.run(["python3", "-c", LIAR, *options], timeout=900)
    assert guest.reboot(["kexecprepctl", "exec"]) == "running"

    shown = checked(guest)
    codes = [finding["code"] for finding in shown["findings"] if finding["severity"] != "info"]
    assert (shown["state"], codes) == ("degraded", ["receipt-differs"])
    assert (shown["origin"]["arrived"], shown["origin"]["kexec-count"]) == (False, None)
    words = guest.run(["kexecprepctl", "status"]).stdout
    assert "at least the 3rd kernel since power-on" in words
    assert Kernel.of(guest).sha256 == first.sha256


@on(ONE)
def test_loaders_that_take_turns_do_not_grow_the_memory_map(
    guest: Guest, first: Kernel, ranges_before: int
) -> None:
    # 6.1's hands on a range for each piece that setup_data leaves of one.
    start_by_the_kernel_s_own_loader(guest)
    assert len(names(guest, MEMORY_MAP)) <= ranges_before
    assert Kernel.of(guest).regions == first.regions


@on(WITH_LOGO)
def test_kexec_tools_loses_the_boot_logo_and_secure_boot(guest: Guest, first: Kernel) -> None:
    # Comes last on its machine: what it loses is lost until the next power-on.
    kernel, initrd = files(guest)
    guest.run(["kexec", "-c", "-l", kernel, f"--initrd={initrd}", "--reuse-cmdline"], timeout=900)
    assert guest.reboot(["systemctl", "kexec"]) == "running"
    now = Kernel.of(guest)
    assert (first.bgrt is None, now.bgrt is None) == (False, True)
    assert (first.secure_boot, now.secure_boot) == (SECURE_BOOT_DISABLED, 0)
    # What a loader cannot lose by placing things where it likes is still there.
    assert (now.regions, now.dmi, now.acpi) == (first.regions, first.dmi, first.acpi)
    assert_no_receipt(guest)


@on(WITH_LOGO)
def test_the_last_kernel_powers_off(guest: Guest, tmp_path: Path) -> None:
    # By ACPI, whose root pointer went from kernel to kernel.
    guest.power_off(keep=tmp_path / "disk")
