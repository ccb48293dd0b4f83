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
from .realtime import END, make_initrd, realtime_kernel
from .service import journal, properties, show, wait_for

pytestmark = pytest.mark.vm

LOAD = "kexecprepd-load.service"
EFIVARS = "/sys/firmware/efi/efivars"
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
    entry = f"title Written\nlinux /vmlinuz\ninitrd /initrd\noptions {COMMAND_LINE}\n"
    files = {
        "EFI/Linux/made-up.efi": unified,
        "EFI/Linux/made-up.efi.extra.d/one.addon.efi": uki((".cmdline", b"addon=one")),
        "loader/entries/written.conf": entry.encode(),
        "loader/loader.conf": b"timeout 3\ndefault made-up*\n",
        "vmlinuz": kernel,
        "initrd": initrd,
        "realtime": realtime_kernel(tmp_path_factory.mktemp("realtime")),
    }
    disk = make_partition(tmp_path_factory.mktemp("entries") / "esp", files)
    installed, log = installations.of(SUITE).disk, console_log("entries")
    with Guest(image, disk=installed, qemu_args=disk, memory="1536M", log=log) as guest:
        yield guest


def ctl(guest: Guest, *arguments: str) -> str:
    return guest.run(["kexecprepctl", *arguments], timeout=900).stdout


def entries(guest: Guest) -> dict[str, dict[str, Any]]:
    """What `entries` lists, by the IDs."""
    shown = json.loads(ctl(guest, "entries", "--json=short"))
    return {each["id"]: each for each in shown["entries"]}


def words(guest: Guest) -> set[str]:
    """The command line that the kernel was started with."""
    return set(guest.read_file("/proc/cmdline").decode().split())


def markers(guest: Guest) -> set[str]:
    """The words of its command line by which an entry or an image can be told."""
    return {each for each in words(guest) if each.startswith(("from=", "addon=", "more="))}


def files_of(release: str) -> tuple[str, str]:
    return f"/boot/vmlinuz-{release}", f"/boot/initrd.img-{release}"


def assert_efi_is_there(guest: Guest) -> None:
    told = properties(guest)
    assert (told["State"], told["StartedBy"]) == ("ready", "kexec")
    assert guest.run(["ls", EFIVARS]).stdout


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
        (("--entry=made-up.efi@other", "--syscall=file"), {"from=other", "addon=one"}),
    ],
    ids=["the default", "a profile", "by the kernel itself"],
)
def test_a_chain_goes_through_all_of_them(
    machine: Guest, arguments: tuple[str, ...], expected: set[str]
) -> None:
    said = ctl(machine, "load", *arguments)
    assert "Loaded Linux" in said
    assert ("by kexec_file_load(2)" in said) is ("--syscall=file" in arguments)
    assert machine.reboot(["kexecprepctl", "exec"]) == "running"

    assert markers(machine) == expected
    assert_efi_is_there(machine)
    mount(machine)


def test_what_grub_has_saved_is_the_default_where_it_reads_the_entries(machine: Guest) -> None:
    machine.run(["umount", TOP])  # what is left is /boot, of the disk itself
    release = machine.run(["uname", "-r"]).stdout.strip()
    kernel, initrd = files_of(release)
    machine.write_file("/boot/grub2/grub.cfg", b"insmod blscfg\nblscfg\n")
    machine.write_file("/boot/grub2/grubenv", b"# GRUB Environment Block\nsaved_entry=id-1\n")
    for number in "12":
        text = f"linux {kernel}\ninitrd {initrd}\noptions {COMMAND_LINE} from=bls{number}\n"
        machine.write_file(f"/boot/loader/entries/id-{number}.conf", text.encode())
    listed = entries(machine)
    assert {name: each["default"] for name, each in listed.items()} == {
        "id-2.conf": False,
        "id-1.conf": True,
    }

    ctl(machine, "load", "--append=more=1")
    assert machine.reboot(["kexecprepctl", "exec"]) == "running"

    assert markers(machine) == {"from=bls1", "more=1"}
    machine.run(["rm", "-r", "/boot/grub2", "/boot/loader"])


def test_after_an_upgrade_a_plain_reboot_starts_the_new_kernel(machine: Guest) -> None:
    release = machine.run(["uname", "-r"]).stdout.strip()
    newer = f"9{release}"
    machine.run(["systemctl", "enable", "--now", LOAD], timeout=900)
    assert loaded(machine)["request"]["kernel"]["path"] == files_of(release)[0]

    old, new = files_of(release), files_of(newer)
    machine.run(["cp", old[0], new[0]])
    # An initrd of another size, by which the next kernel can tell it.
    machine.run(["sh", "-c", f"cat {old[1]} >{new[1]}; head -c 4096 /dev/zero >>{new[1]}"])
    hook = "/etc/kernel/postinst.d/zzz-kexecprepd"
    machine.run([hook, newer, new[0]], timeout=900)
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


def test_a_request_that_comes_later_is_not_passed_by(machine: Guest) -> None:
    assert loaded(machine)["request"]["ahead"] is True
    variable = f"{EFIVARS}/BootNext-8be4df61-93ca-11d2-aa0d-00e098032b8c"
    # The attributes, and a number that no boot option has.
    machine.run(["sh", "-c", f"printf '\\7\\0\\0\\0\\356\\0' >{variable}"])

    # As a shutdown does, and then a start.
    machine.run(["systemctl", "restart", LOAD], timeout=900)

    assert machine.read_file("/sys/kernel/kexec_loaded") == b"0\n"
    said = journal(machine, LOAD)
    assert "The kernel that was loaded is unloaded. BootNext names" in said
    assert "Nothing is loaded. BootNext names" in said
    machine.run(["rm", variable])


def test_systemd_accepts_the_unit_without_a_word(machine: Guest) -> None:
    unit = f"/usr/lib/systemd/system/{LOAD}"
    done = machine.run(["systemd-analyze", "verify", "--man=no", unit], timeout=900)
    assert done.stdout + done.stderr == ""


def test_a_realtime_kernel_is_told_beforehand_and_boots(machine: Guest) -> None:
    mount(machine)
    initrd = make_initrd(machine)
    line = "--append=console=ttyS0 panic=-1"
    done = machine.run(
        ["kexecprepctl", "load", f"{TOP}/realtime", f"--initrd={initrd}", line], timeout=900
    )
    assert "EFI is lost" in done.stdout
    assert "real-time one (PREEMPT_RT)" in done.stderr

    machine.end(["kexecprepctl", "exec"], timeout=900)

    said = machine.console.read_text(errors="replace")
    assert any(END in each and "PREEMPT_RT" in each for each in said.splitlines())
