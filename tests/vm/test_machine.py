# SPDX-License-Identifier: LGPL-2.1-or-later
"""The machine itself: firmware, the bus, commands and files."""

from __future__ import annotations

import pytest

from tests.lab.guest import CommandError, Guest, GuestError

from .machines import BOOKWORM, BROKER, COMBINATIONS, Machine, on

pytestmark = pytest.mark.vm


@on(COMBINATIONS)
def test_the_guest_is_of_the_release_and_has_the_bus(guest: Guest, machine: Machine) -> None:
    release = guest.read_file("/etc/os-release").decode()
    assert f"VERSION_CODENAME={machine.suite}\n" in release
    pid = guest.run(["systemctl", "show", "-P", "MainPID", "dbus.service"]).stdout.strip()
    program = "dbus-broker-launch" if machine.bus == BROKER else "dbus-daemon"
    assert guest.run(["readlink", f"/proc/{pid}/exe"]).stdout == f"/usr/bin/{program}\n"


@on(COMBINATIONS)
def test_programs_lie_where_chance_has_it_on_half_of_the_machines(
    guest: Guest, machine: Machine
) -> None:
    randomized = guest.read_file("/proc/sys/kernel/randomize_va_space")
    assert randomized == (b"2\n" if machine.defaults else b"0\n")


@on([BOOKWORM])
def test_firmware_is_uefi_and_shows_its_runtime_map(guest: Guest) -> None:
    assert guest.run(["ls", "/sys/firmware/efi/runtime-map"]).stdout
    assert guest.read_file("/sys/firmware/efi/fw_platform_size") == b"64\n"
    kind = guest.read_file("/sys/firmware/efi/runtime-map/0/type")
    assert int(kind, 16) in range(16)


@on([BOOKWORM])
def test_commands_carry_input_output_status_and_user(guest: Guest) -> None:
    assert guest.run(["id", "-u"]).stdout == "0\n"
    assert guest.run(["id", "-u"], user="tester").stdout == "1000\n"
    assert guest.run(["cat"], input="gruezi\n").stdout == "gruezi\n"
    assert guest.run(["sh", "-c", "kill -9 $$"], check=False).returncode == -9
    with pytest.raises(CommandError, match="status 3") as caught:
        guest.run(["sh", "-c", "echo why >&2; exit 3"])
    assert (caught.value.returncode, caught.value.stderr) == (3, b"why\n")
    with pytest.raises(GuestError, match="did not end"):
        guest.run(["sleep", "600"], timeout=0.1)
    denied = guest.run(["cat", "/sys/firmware/efi/runtime-map/0/type"], user="tester", check=False)
    assert denied.returncode == 1


@on([BOOKWORM])
def test_files_are_written_whole_and_with_their_mode(guest: Guest) -> None:
    guest.write_file("/run/deep/er/file", b"\0\xff", mode=0o600)
    assert guest.read_file("/run/deep/er/file") == b"\0\xff"
    assert guest.run(["stat", "-c", "%a %U", "/run/deep/er/file"]).stdout == "600 root\n"
