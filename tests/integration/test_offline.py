# SPDX-License-Identifier: LGPL-2.1-or-later
"""kexecprepctl without the daemon: from a tree, without a bus, and on one without its policy."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.daemon import CHECKOUT, Daemon, running
from tests.support.notify_socket import DEADLINE
from tests.support.private_bus import PrivateBus, private_bus
from tests.support.recordings import materialise, remove, set_region

from .live import make_live, refusal, run_ctl
from .unprivileged import SETPRIV

pytestmark = pytest.mark.bus

OWNING_ALONE = '<policy context="default"><allow own="*"/></policy>'
"""Has the daemon take its name, and nobody call it."""

NO_BUS = {"DBUS_SYSTEM_BUS_ADDRESS": "unix:path=/nowhere"}


def ctl(
    bus: PrivateBus, *arguments: str | Path, user: bool = False
) -> "subprocess.CompletedProcess[bytes]":
    """Run it to its end, as root or as a user without rights."""
    command = [sys.executable, "-m", "kexecprepd.ctl", *map(str, arguments)]
    return subprocess.run(
        [*SETPRIV, *command] if user else command,
        env={**bus.environment, "PYTHONPATH": str(CHECKOUT)},
        cwd=CHECKOUT,
        capture_output=True,
        timeout=DEADLINE,
    )


def test_status_of_a_tree_tells_of_the_tree(daemon: Daemon, bus: PrivateBus, top: Path) -> None:
    other = materialise("deb12-6.1-ovmf32-mixed", top / "other")
    done = ctl(bus, "--root", other, "status")
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"     State: unsupported\n" in done.stdout
    assert b"    Loaded: unknown\n" in done.stdout
    assert b"Generation" not in done.stdout
    shown = json.loads(ctl(bus, "--root", other, "--json=short").stdout)
    assert (shown["state"], shown["sha256"], shown["loaded"]) == ("unsupported", "", None)


@pytest.mark.parametrize("verb", ["watch", "metrics", "unload", "exec"])
def test_what_is_about_this_system_takes_no_tree(
    daemon: Daemon, bus: PrivateBus, tree: Path, verb: str
) -> None:
    done = ctl(bus, "--root", tree, verb)
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.startswith(f"kexecprepctl: {verb} is about this system".encode())


def test_a_tree_without_a_name_is_wrong_usage(bus: PrivateBus) -> None:
    done = ctl(bus, "check", "--root", "")
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"the name is empty" in done.stderr


def test_a_tree_that_is_not_for_this_user_is_told_as_that(bus: PrivateBus, top: Path) -> None:
    (top / "root").mkdir(mode=0o700)
    done = ctl(bus, "check", "--root", top / "root", user=True)
    assert done.returncode == 7
    assert b"permission denied" in done.stderr
    assert b"Run this as root" in done.stderr
    assert b"mount sysfs" not in done.stderr


@pytest.mark.parametrize("command", [["entries"], ["adopt", "kexec-load"]], ids=lambda c: c[0])
def test_a_directory_that_is_not_for_this_user_brings_no_traceback(
    bus: PrivateBus, top: Path, command: list[str]
) -> None:
    (top / "root").mkdir(mode=0o700)
    done = ctl(bus, *command, "--root", top / "root", user=True)
    assert done.returncode == 7
    assert done.stderr.startswith(b"kexecprepctl: It could not be done: ")
    assert done.stderr.endswith(b"permission denied.\n  Use sudo.\n")


def test_without_a_bus_check_answers_from_sysfs_and_says_so(tree: Path) -> None:
    make_live(tree)

    done = run_ctl(tree, NO_BUS, "check")

    assert done.returncode == 0
    assert done.stdout.startswith("ready: Yes: ")
    assert done.stderr.startswith("note: The daemon cannot be asked: ")
    assert "read from sysfs" in done.stderr
    shown = json.loads(run_ctl(tree, NO_BUS, "check", "--json=short").stdout)
    assert (shown["source"], shown["state"], shown["generation"]) == ("sysfs", "ready", None)


def test_without_a_bus_check_ends_by_what_it_finds(tree: Path) -> None:
    set_region(make_live(tree), 1, num_pages=0)
    assert run_ctl(tree, NO_BUS, "check").returncode == 4


def test_without_a_bus_a_user_is_told_both(tree: Path) -> None:
    done = run_ctl(make_live(tree), NO_BUS, "check", user=True)
    assert (done.returncode, done.stdout) in ((6, ""), (5, ""))  # in a container it is 5
    assert "the system bus cannot be reached" in done.stderr
    assert ("permission denied" in done.stderr) is (done.returncode == 6)


def test_check_of_the_daemon_says_so(daemon: Daemon, bus: PrivateBus) -> None:
    assert json.loads(ctl(bus, "check", "--json=short").stdout)["source"] == "daemon"


@pytest.mark.parametrize("user", [False, True], ids=["root", "user"])
def test_on_a_bus_without_the_policy_nobody_is_sent_to_sudo(
    top: Path, tree: Path, user: bool
) -> None:
    with (
        private_bus(top, policy=OWNING_ALONE) as bus,
        running(top, tree, bus.environment),
    ):
        done = ctl(bus, "status", user=user)
    assert (done.returncode, done.stdout) == (7, b"")
    assert b"its policy for org.kexecprepd1 is not in force" in done.stderr
    assert b"sudo" not in done.stderr


def test_what_cannot_be_told_of_a_loaded_kernel_is_not_called_none(tree: Path) -> None:
    """Where /sys is not mounted, or does not show everything."""
    remove(make_live(tree), "sys/kernel")
    assert "unloaded" not in run_ctl(tree, NO_BUS, "unload").stdout
    assert run_ctl(tree, NO_BUS, "unload").stdout != "No kernel was loaded.\n"
    assert "Whether a kernel is loaded cannot be told" in refusal(run_ctl(tree, NO_BUS, "exec"))


def test_a_kernel_without_kexec_has_none_loaded(tree: Path) -> None:
    remove(make_live(tree), "sys/kernel/kexec_loaded")
    done = run_ctl(tree, NO_BUS, "unload")
    assert (done.returncode, done.stdout) == (0, "No kernel was loaded.\n")
    assert "No kernel is loaded" in refusal(run_ctl(tree, NO_BUS, "exec"))
