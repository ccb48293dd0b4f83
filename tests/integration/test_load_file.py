# SPDX-License-Identifier: LGPL-2.1-or-later
"""kexecprepctl load by the kernel's own loader, and of what would boot by default."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.daemon import Daemon
from tests.support.kernels import bzimage, uki
from tests.support.private_bus import PrivateBus
from tests.support.recordings import write
from tests.support.schemas import conform

from .live import Done, as_json, make_live, refusal, run_ctl

pytestmark = pytest.mark.bus

Ctl = Callable[..., Done]

LOCKDOWN = "sys/kernel/security/lockdown"
GLOBAL = "8be4df61-93ca-11d2-aa0d-00e098032b8c"


@pytest.fixture
def machine(tree: Path) -> Path:
    """The tree of a machine that allows everything, with a kernel in /boot."""
    make_live(tree)
    (tree / "boot").mkdir()
    (tree / "boot/vmlinuz-6.1.0-made-up").write_bytes(bzimage())
    (tree / "boot/initrd.img-6.1.0-made-up").write_bytes(b"070701")
    write(tree, "proc/cmdline", "BOOT_IMAGE=/vmlinuz root=/dev/sda1\n")
    return tree


@pytest.fixture
def ctl(bus: PrivateBus, machine: Path) -> Ctl:
    """Run kexecprepctl to its end on that machine."""
    return lambda *arguments: run_ctl(machine, bus.environment, *arguments)


def test_a_kernel_that_is_locked_down_is_asked_to_load_by_itself(
    ctl: Ctl, machine: Path, kernel: Path
) -> None:
    write(machine, LOCKDOWN, "none [integrity] confidentiality\n")

    shown = as_json(ctl("load", "--dry-run", "--json=short", kernel))
    assert (shown["syscall"], shown["efi"], shown["obstacle"]) == ("file", True, None)
    assert shown["segments"] == []
    assert "kexec_file_load" in refusal(ctl("load", kernel))
    said = refusal(ctl("load", "--syscall=load", kernel))
    assert "locked down (integrity)" in said
    assert "Leave out --syscall=load" in said


@pytest.mark.parametrize("unified", [False, True])
def test_the_kernel_s_own_loader_gets_descriptors_of_its_own(
    ctl: Ctl, kernel: Path, unified: bool
) -> None:
    if unified:
        kernel.write_bytes(uki((".linux", bzimage()), (".initrd", b"070701"), (".cmdline", b"x")))

    # Not EBADF, ENOTTY or EFAULT: it is refused for what it is.
    said = refusal(ctl("load", "--syscall=file", kernel))
    assert "EPERM of kexec_file_load" in said or "ENOSYS of kexec_file_load" in said


def test_unload_is_done_where_lockdown_refuses_loads(ctl: Ctl, machine: Path) -> None:
    write(machine, LOCKDOWN, "none [integrity] confidentiality\n")
    write(machine, "sys/kernel/kexec_loaded", "1\n")

    said = refusal(ctl("unload"))

    assert "The kernel refused it" in said
    assert "locked down" not in said


def test_the_boot_entries_are_listed(ctl: Ctl) -> None:
    done = ctl("entries")
    assert done.returncode == 0
    assert "default" in done.stdout
    assert "/boot/vmlinuz-6.1.0-made-up" in done.stdout
    shown: Any = as_json(ctl("entries", "--json=short"))
    conform("entries", shown)
    assert [(each["id"], each["default"]) for each in shown["entries"]] == [("6.1.0-made-up", True)]


def test_without_a_kernel_it_is_what_would_boot_by_default(daemon: Daemon, ctl: Ctl) -> None:
    shown = as_json(ctl("load", "--dry-run", "--json=short"))

    assert shown["entry-id"] == "6.1.0-made-up"
    assert shown["command-line"] == "root=/dev/sda1"
    text = ctl("load", "--dry-run", "--entry=6.1.0-made-up", "--append=single").stdout
    assert "Linux 6.1.0-made-up (boot entry 6.1.0-made-up) would be loaded" in text
    assert "Command line: root=/dev/sda1 single\n" in text
    assert "no boot entry nothing" in refusal(ctl("load", "--entry=nothing"))


def test_where_there_is_nothing_to_boot_it_is_said(ctl: Ctl, machine: Path) -> None:
    for path in (machine / "boot").iterdir():
        path.unlink()

    assert "no boot entry, and no kernel in /boot" in refusal(ctl("load"))
    assert "no boot entry" in ctl("entries").stdout


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("OsIndications", b"\1\0\0\0\0\0\0\0", "setup screen"),
        ("OsIndications", b"\4\0\0\0\0\0\0\0", "firmware update"),
        ("BootNext", b"\1\0", "BootNext"),
    ],
)
def test_ahead_of_time_nothing_comes_before_what_the_firmware_is_asked_for(
    daemon: Daemon, ctl: Ctl, machine: Path, name: str, value: bytes, words: str
) -> None:
    variables = machine / "sys/firmware/efi/efivars"
    variables.mkdir(exist_ok=True)
    (variables / f"{name}-{GLOBAL}").write_bytes(b"\7\0\0\0" + value)

    done = ctl("load", "--ahead")

    assert (done.returncode, done.stderr) == (0, "")
    assert "Nothing is loaded." in done.stdout
    assert words in done.stdout
    assert any(words in note for note in as_json(ctl("load", "--dry-run", "--json=short"))["notes"])


def test_ahead_of_time_it_gets_as_far_as_the_kernel(
    daemon: Daemon, ctl: Ctl, machine: Path
) -> None:
    assert "The kernel refused it" in refusal(ctl("load", "--ahead"))

    write(machine, "sys/kernel/kexec_loaded", "1\n")
    assert "is loaded already" in ctl("load", "--ahead").stdout


def test_a_pipe_among_the_entries_does_not_stop_it(ctl: Ctl, machine: Path) -> None:
    os.mkfifo(machine / "boot/vmlinuz-7")

    assert "is a pipe" in ctl("entries").stderr
