# SPDX-License-Identifier: LGPL-2.1-or-later
"""Boot entries of every kind, a chain through a unified kernel image, and `systemctl reboot`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.lab.environment import console_log
from tests.lab.guest import COMMAND_LINE, Guest
from tests.lab.image import get_image
from tests.support.kernels import uki

from .partition import TOP, make_partition, mount
from .project import Installations
from .service import properties, show, wait_for

pytestmark = pytest.mark.vm

LOAD = "kexecprepd-load.service"
SUITE = "trixie"


@pytest.fixture(scope="module")
def machine(
    installations: Installations, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Guest]:
    """A guest with a partition as systemd-boot has it, for all tests of this module in turn."""
    image = get_image(SUITE)
    kernel, initrd = image.kernel.read_bytes(), image.initrd.read_bytes()
    line = COMMAND_LINE.encode()
    unified = uki(
        (".linux", kernel),
        (".initrd", initrd),
        (".osrel", b'PRETTY_NAME="Made up"\nID=made-up\nVERSION_ID=1\n'),
        (".cmdline", line + b" from=uki"),
        (".profile", b"ID=main\nTITLE=Main\n"),
        (".profile", b"ID=other\nTITLE=Other\n"),
        (".cmdline", line + b" from=other"),
    )
    entry = f"title Written\nlinux /vmlinuz\ninitrd /initrd\noptions {COMMAND_LINE} from=bls\n"
    files = {
        "EFI/Linux/made-up.efi": unified,
        "EFI/Linux/made-up.efi.extra.d/one.addon.efi": uki((".cmdline", b"addon=one")),
        "loader/entries/written.conf": entry.encode(),
        "loader/loader.conf": b"timeout 3\ndefault made-up*\n",
        "vmlinuz": kernel,
        "initrd": initrd,
    }
    disk = make_partition(tmp_path_factory.mktemp("entries") / "esp", files)
    installed, log = installations.of(SUITE).disk, console_log("entries")
    with Guest(image, disk=installed, qemu_args=disk, memory="1536M", log=log) as guest:
        yield guest


def ctl(guest: Guest, *arguments: str) -> str:
    return guest.run(["kexecprepctl", *arguments], timeout=120).stdout


def entries(guest: Guest) -> dict[str, dict[str, Any]]:
    """What `entries` lists, by the IDs."""
    return {each["id"]: each for each in json.loads(ctl(guest, "entries", "--json=short"))}


def words(guest: Guest) -> set[str]:
    """The command line that the kernel was started with."""
    return set(guest.read_file("/proc/cmdline").decode().split())


def assert_efi_is_there(guest: Guest) -> None:
    assert properties(guest)["State"] == "ready"
    assert properties(guest)["StartedBy"] == "kexec" if "StartedBy" in properties(guest) else True
    assert guest.run(["ls", "/sys/firmware/efi/efivars"]).stdout


def test_entries_of_both_types_are_listed_and_one_is_the_default(machine: Guest) -> None:
    mount(machine)
    listed = entries(machine)

    assert set(listed) == {"made-up.efi", "made-up.efi@other", "written.conf"}
    assert [name for name, each in listed.items() if each["default"]] == ["made-up.efi"]
    assert listed["made-up.efi@other"]["title"] == "Made up (Other)"
    release = machine.run(["uname", "-r"]).stdout.strip()
    assert {each["release"] for each in listed.values()} == {release}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), {"from=uki", "addon=one"}),
        ((f"{TOP}/EFI/Linux/made-up.efi", "--profile=other"), {"from=other", "addon=one"}),
        (("--entry=written", "--append=more=1"), {"from=bls", "more=1"}),
        (("--entry=made-up.efi@other", "--syscall=file"), {"from=other", "addon=one"}),
    ],
    ids=["the default", "a profile", "a written one", "by the kernel itself"],
)
def test_a_chain_goes_through_all_of_them(
    machine: Guest, arguments: tuple[str, ...], expected: set[str]
) -> None:
    said = ctl(machine, "load", *arguments)
    assert "Loaded Linux" in said
    assert ("by kexec_file_load(2)" in said) is ("--syscall=file" in arguments)
    assert machine.reboot(["kexecprepctl", "exec"]) == "running"

    markers = {word for word in words(machine) if word.startswith(("from=", "addon=", "more="))}
    assert markers == expected
    assert_efi_is_there(machine)
    mount(machine)


def files_of(machine: Guest, release: str) -> tuple[str, str]:
    return f"/boot/vmlinuz-{release}", f"/boot/initrd.img-{release}"


def test_after_an_upgrade_a_plain_reboot_starts_the_new_kernel(machine: Guest) -> None:
    machine.run(["umount", TOP])  # what is left is /boot, as Debian names things there
    release = machine.run(["uname", "-r"]).stdout.strip()
    newer = f"9{release}"
    machine.run(["systemctl", "enable", "--now", LOAD], timeout=180)
    assert loaded(machine)["request"]["kernel"]["path"] == files_of(machine, release)[0]

    old, new = files_of(machine, release), files_of(machine, newer)
    machine.run(["cp", old[0], new[0]])
    # An initrd of another size, by which the next kernel can tell it.
    machine.run(["sh", "-c", f"cat {old[1]} >{new[1]}; head -c 4096 /dev/zero >>{new[1]}"])
    hook = "/etc/kernel/postinst.d/zzz-kexecprepd"
    machine.run([hook, newer, new[0]], timeout=180)
    assert loaded(machine)["request"]["kernel"]["path"] == new[0]
    size = int(machine.run(["stat", "-c", "%s", new[1]]).stdout)

    assert machine.reboot(["systemctl", "reboot"]) == "running"

    params = machine.read_file("/sys/kernel/boot_params/data")
    assert int.from_bytes(params[0x21C:0x220], "little") == size
    assert_efi_is_there(machine)
    # And it is loaded again, for the next time.
    wait_for(lambda: show(machine, LOAD)["ActiveState"] == "active", "it has loaded")
    assert loaded(machine)["request"]["default"] is True
    machine.run(["rm", *new])


def loaded(machine: Guest) -> dict[str, Any]:
    """What is remembered of the last load."""
    assert machine.read_file("/sys/kernel/kexec_loaded") == b"1\n"
    return dict(json.loads(machine.read_file("/run/kexecprepctl/loaded.json")))


def test_systemd_accepts_the_unit_without_a_word(machine: Guest) -> None:
    unit = f"/usr/lib/systemd/system/{LOAD}"
    done = machine.run(["systemd-analyze", "verify", "--man=no", unit], timeout=120)
    assert done.stdout + done.stderr == ""
