# SPDX-License-Identifier: LGPL-2.1-or-later
"""Machines with nothing to hand over: the service runs, and says why in the right words."""

from __future__ import annotations

import json

import pytest

from tests.lab.guest import Guest

from . import expected
from .machines import BIOS, MIXED_MODE, NO_RUNTIME, UNSUPPORTED, Machine, on
from .project import Boot
from .service import MANAGER, ROOT_ONLY, Call, ask, call, properties

pytestmark = [pytest.mark.vm, on(UNSUPPORTED)]

OFF = "The kernel was booted with efi=noruntime, which switches the EFI runtime services off."
REASONS = {
    NO_RUNTIME: ("runtime-services-off", OFF),
    BIOS: ("not-uefi", "This system was not booted through UEFI: there is no EFI to hand over."),
    MIXED_MODE: (
        "firmware-32-bit",
        "The firmware is 32-bit under a 64-bit kernel (mixed mode), "
        "where the kernel cannot hand EFI over.",
    ),
}


@pytest.fixture
def reason(machine: Machine) -> str:
    """The sentence that is right for this machine."""
    return REASONS[machine][1]


def test_the_service_is_up_and_systemd_knows_the_reason(
    guest: Guest, boot: Boot, reason: str
) -> None:
    assert (boot.unit["ActiveState"], boot.unit["NRestarts"]) == ("active", "0")
    assert boot.unit["StatusText"] == reason
    assert reason in guest.run(["systemctl", "status", "kexecprepd"], user="tester").stdout


def test_everyone_is_told_the_reason(guest: Guest, reason: str) -> None:
    shown = properties(guest, user="tester")
    assert (shown["State"], shown["Reason"]) == ("unsupported", reason)
    assert (shown["Sha256"], shown["WarningCount"], shown["ErrorCount"]) == ("", 0, 0)


def test_there_is_no_image(guest: Guest, reason: str) -> None:
    others = ("GetHandover", "OpenSetupData", "GetExcludedRanges")
    members = ("GetSetupData", "PlaceSetupData", *others)
    answers = ask(guest, [Call(f"{MANAGER}.{member}", ROOT_ONLY[member]) for member in members])
    assert {each.error for each in answers} == {"org.kexecprepd1.Error.Unsupported"}
    for each in answers:
        assert reason in each.text
    cached = guest.run(["ls", "-R", "/run/kexecprepd"]).stdout.split()
    assert ("snapshot.json" in cached, "setup_data" in cached) == (True, False)


def test_check_ends_with_5_and_says_what_to_do(guest: Guest, machine: Machine) -> None:
    code, reason = REASONS[machine]
    done = guest.run(["kexecprepctl", "check", "--json=short"], check=False)
    shown = json.loads(done.stdout)
    assert (done.returncode, shown["state"], shown["reason"]) == (5, "unsupported", reason)
    (finding,) = shown["findings"]
    assert (finding["code"], finding["severity"]) == (code, "info")
    assert finding["hint"]


def test_status_ends_with_0(guest: Guest, reason: str) -> None:
    done = guest.run(["kexecprepctl", "status"], user="tester")
    assert "State: unsupported\n" in done.stdout
    assert f"Reason: {reason}\n" in done.stdout


def test_the_memory_map_is_there_all_the_same(guest: Guest) -> None:
    assert call(guest, "GetMemoryMap")[0] == expected.memory_ranges(guest)
