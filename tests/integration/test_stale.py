# SPDX-License-Identifier: LGPL-2.1-or-later
"""A kernel that is loaded for memory that is no longer so: it is told, and it is not started."""

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kexecprepd.loader import request
from kexecprepd.loader.request import File, Loaded, Request
from kexecprepd.wire.journal import Message
from tests.support.customised import at_audit_event, customised
from tests.support.daemon import Daemon
from tests.support.journal_socket import journal
from tests.support.kernels import bzimage
from tests.support.private_bus import PrivateBus
from tests.support.recordings import BOOT_ID, MEMMAP, add_range, remove, set_memory_blocks, write
from tests.support.schemas import conform

from .client import Client
from .live import Done, as_json, make_live, refusal, run_ctl, with_systemctl

pytestmark = pytest.mark.bus

Ctl = Callable[..., Done]
AGAIN = "kexecprepctl load --again"


@pytest.fixture
def machine(tree: Path) -> Path:
    """The tree of a machine with a kernel loaded."""
    write(make_live(tree), "sys/kernel/kexec_loaded", "1\n")
    return tree


@pytest.fixture
def ctl(bus: PrivateBus, machine: Path, top: Path) -> Ctl:
    """Run kexecprepctl to its end on that machine; systemctl only says that it was called."""
    path = with_systemctl(top)

    def run(*arguments: str | Path) -> Done:
        return run_ctl(machine, {**bus.environment, "PATH": path}, *arguments)

    return run


@pytest.fixture
def loaded(daemon: Daemon, client: Client, machine: Path, kernel: Path) -> Loaded:
    """What `kexecprepctl load` leaves when the kernel has taken it, which no test can have."""
    info = client.call("GetHandover")[2]
    done = Loaded(
        boot_id=BOOT_ID,
        efi=True,
        handover_sha256=info["handover-sha256"],
        generation=info["generation"],
        loaded_at=1,
        request=Request(
            kernel=File(str(kernel), hashlib.sha256(kernel.read_bytes()).hexdigest()),
            initrds=(),
            append="quiet",
            reuse_cmdline=False,
            efi=True,
            cmdline="quiet",
        ),
    )
    with request.alone(machine):
        request.keep(machine, done)
    return done


def change_memory(tree: Path) -> None:
    """Memory is plugged in; the daemon has not looked yet."""
    add_range(tree, 8 << 30, (9 << 30) - 1, "System RAM")


def told(ctl: Ctl) -> dict[str, Any]:
    """What `status` and `check` tell of the kernel that is loaded, which is the same."""
    shown = {verb: as_json(ctl(verb, "--json=short")) for verb in ("status", "check")}
    for verb, each in shown.items():
        conform(verb, each)
    assert shown["status"]["loaded"] == shown["check"]["loaded"]
    return dict(shown["status"]["loaded"])


def test_a_kernel_whose_memory_is_as_it_was_is_started(ctl: Ctl, loaded: Loaded) -> None:
    shown = told(ctl)
    assert shown["stale"] is False
    assert shown["kernel"] == loaded.request.kernel.path
    assert (shown["generation"], shown["handover-sha256"]) == (1, loaded.handover_sha256)
    assert f"Loaded: {loaded.request.kernel.path}, for generation 1\n" in ctl("status").stdout

    assert ctl("exec").stdout == "systemctl kexec\n"


def test_a_stale_kernel_is_told_and_not_started_though_the_daemon_has_not_looked(
    ctl: Ctl, client: Client, loaded: Loaded, machine: Path
) -> None:
    change_memory(machine)
    assert client.get("Generation") == 1

    assert told(ctl)["stale"] is True
    for command in ("status", "check"):
        assert "is stale" in ctl(command).stdout
        assert AGAIN in ctl(command).stdout
    said = refusal(ctl("exec"))
    assert "is stale" in said
    assert AGAIN in said


def test_memory_that_is_gone_though_the_map_lists_it_makes_it_stale(
    ctl: Ctl, client: Client, machine: Path, loaded: Loaded
) -> None:
    add_range(machine, 4 << 30, (5 << 30) - 1, "System RAM")
    set_memory_blocks(machine, 128 << 20, range(40))
    client.call("Refresh")
    digest = client.call("GetHandover")[2]["handover-sha256"]
    with request.alone(machine):
        request.keep(machine, Loaded(BOOT_ID, True, digest, 2, 1, loaded.request))
    assert told(ctl)["stale"] is False

    set_memory_blocks(machine, 128 << 20, range(36))

    assert told(ctl)["stale"] is True


def test_what_something_else_has_loaded_is_not_judged(ctl: Ctl, daemon: Daemon) -> None:
    shown = told(ctl)
    assert (shown["stale"], shown["kernel"]) == (None, None)
    assert "Loaded: yes (not by kexecprepctl)\n" in ctl("status").stdout

    assert ctl("exec").stdout == "systemctl kexec\n"


def test_what_was_loaded_in_another_boot_does_not_count(
    ctl: Ctl, machine: Path, loaded: Loaded
) -> None:
    write(machine, "proc/sys/kernel/random/boot_id", "6dd1b1ee-3f8e-4b7c-8a52-1d2b0a5c9f11\n")
    change_memory(machine)

    assert told(ctl)["stale"] is None


def test_a_damaged_record_is_no_reason_to_start_a_kernel(
    ctl: Ctl, machine: Path, loaded: Loaded
) -> None:
    request.path_of(machine).write_text("{")

    assert told(ctl)["stale"] is None
    assert "is damaged" in refusal(ctl("exec"))


def test_where_nothing_is_loaded_there_is_nothing_to_tell_and_the_request_is_forgotten(
    ctl: Ctl, machine: Path, loaded: Loaded
) -> None:
    write(machine, "sys/kernel/kexec_loaded", "0\n")
    assert as_json(ctl("status", "--json=short"))["loaded"] is None
    assert "Loaded: no\n" in ctl("status").stdout

    done = ctl("load", "--again")

    assert (done.returncode, done.stderr) == (0, "")
    assert "No kernel is loaded" in done.stdout
    assert request.read(machine) is None


@pytest.mark.parametrize("command", ["unload", "exec"])
def test_unload_and_exec_forget_a_request_that_is_of_no_use(
    ctl: Ctl, machine: Path, loaded: Loaded, command: str
) -> None:
    write(machine, "sys/kernel/kexec_loaded", "0\n")

    ctl(command)

    assert request.read(machine) is None


def test_a_load_that_is_refused_leaves_what_is_remembered(
    ctl: Ctl, machine: Path, loaded: Loaded, kernel: Path
) -> None:
    assert "The kernel refused it" in refusal(ctl("load", kernel))
    assert "The kernel refused it" in refusal(ctl("unload"))

    assert request.read(machine) == loaded


def test_what_is_still_true_is_not_loaded_again(ctl: Ctl, loaded: Loaded) -> None:
    done = ctl("load", "--again")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Nothing has changed" in done.stdout
    shown = as_json(ctl("load", "--again", "--json=short"))
    conform("load", shown)
    assert shown["loaded"] is False


def test_a_kernel_that_was_replaced_on_disk_is_loaded_again(
    ctl: Ctl, loaded: Loaded, kernel: Path
) -> None:
    kernel.write_bytes(bzimage(b"\x91" * 0x800))

    assert "The kernel refused it" in refusal(ctl("load", "--again"))


def test_memory_that_changes_while_its_files_are_read_is_not_passed_over(
    bus: PrivateBus, machine: Path, top: Path, loaded: Loaded
) -> None:
    change_memory(machine)
    ranges = sorted((machine / MEMMAP).iterdir(), key=lambda each: int(each.name))
    plugged, before = str(ranges[-1]), str(machine / "before")
    os.rename(plugged, before)
    plug = (
        f"if arguments[0] == {loaded.request.kernel.path!r} and os.path.exists({before!r}): "
        f"os.rename({before!r}, {plugged!r})"
    )
    path = customised(top / "customised", at_audit_event("open", plug))

    done = run_ctl(machine, bus.environment, "load", "--again", python_path=path)

    assert "The kernel refused it" in refusal(done)


def test_a_stale_kernel_is_loaded_again_and_where_that_fails_it_is_to_go(
    ctl: Ctl, machine: Path, loaded: Loaded, kernel: Path
) -> None:
    change_memory(machine)

    said = refusal(ctl("load", "--again"))
    assert said.count("The kernel refused it") == 2  # the load, and to unload it
    assert "is stale, and cannot be unloaded" in said

    remove(kernel.parent, "vmlinuz")
    said = refusal(ctl("load", "--again"))
    assert "cannot be read: no such file" in said
    assert "is stale, and cannot be unloaded" in said


def test_nothing_can_be_loaded_again_that_was_not_loaded_so(ctl: Ctl, daemon: Daemon) -> None:
    assert "was not loaded by" in refusal(ctl("load", "--again"))


def test_a_tree_tells_of_what_is_loaded_in_it(ctl: Ctl, machine: Path, loaded: Loaded) -> None:
    change_memory(machine)

    shown = json.loads(ctl("check", "--root", machine, "--json=short").stdout)

    assert shown["loaded"]["stale"] is True


@pytest.mark.parametrize("readable", [True, False])
def test_the_journal_is_told_of_a_stale_kernel(
    bus: PrivateBus, machine: Path, loaded: Loaded, top: Path, readable: bool
) -> None:
    change_memory(machine)
    if not readable:
        remove(machine, loaded.request.kernel.path)
    with journal(machine, top / "errors") as told, (top / "errors").open("wb") as errors:
        run_ctl(
            machine,
            {**bus.environment, "JOURNAL_STREAM": told.stream},
            *("load", "--again"),
            stderr=errors,
        )
        (entry,) = told.entries()

    assert entry["MESSAGE_ID"] == Message.STALE
    assert entry["KEXECPREPD_KERNEL"] == loaded.request.kernel.path
    assert "is stale" in entry["MESSAGE"]
