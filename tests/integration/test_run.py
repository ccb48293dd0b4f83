# SPDX-License-Identifier: LGPL-2.1-or-later
"""kexecprepctl run: what a loader finds in sysfs, and how its end is told."""

import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import recordings
from tests.support.customised import at_audit_event, customised
from tests.support.daemon import CHECKOUT, Daemon, running
from tests.support.lines import Lines
from tests.support.notify_socket import DEADLINE
from tests.support.private_bus import PrivateBus
from tests.support.programs import Programs
from tests.support.recordings import add_range, set_memory_blocks, set_region

from .live import Done, make_live, on_machine, refusal, run_ctl
from .unprivileged import SETPRIV, modules

pytestmark = pytest.mark.bus

GIB = 1 << 30
BLOCK = 128 << 20

FOLDERS = {"memmap": "firmware/memmap", "runtime-map": "firmware/efi/runtime-map"}

# Every file of a folder with its mode and content, as whoever is there sees it.
LOOK = r'cd "$0" && find . -type f -printf "%p %m " -exec cat {} \;'

WAITS = """
import signal, sys

number = signal.Signals(int(sys.argv[1]))
signal.pthread_sigmask(signal.SIG_BLOCK, {number})
print("ready", flush=True)
if signal.sigtimedwait({number}, float(sys.argv[2])):
    print("got", number.name)
    sys.exit(3)
"""
"""Waits for a signal so many seconds, and says what came."""

Ctl = Callable[..., Done]


@pytest.fixture
def machine(tree: Path) -> Path:
    """The tree of a machine that has lost memory which its map still lists."""
    add_range(tree, 4 * GIB, 8 * GIB - 1, "System RAM")
    set_memory_blocks(tree, BLOCK, range(60))
    return make_live(tree)


@pytest.fixture(autouse=True)
def programs(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is installed here, kexec and systemctl are of versions that nothing is to be noted
    of; tests/unit/test_effect.py has the others.
    """
    made = Programs(top / "programs")
    made.add("kexec", "kexec-tools 2.0.25")
    made.add("systemctl", "systemd 252")
    monkeypatch.setenv("PATH", str(made.folder), prepend=os.pathsep)


@pytest.fixture
def ctl(bus: PrivateBus, machine: Path) -> Ctl:
    """Run kexecprepctl to its end on that machine."""
    return lambda *arguments: run_ctl(machine, bus.environment, *arguments)


def look(folder: Path) -> list[str]:
    done = subprocess.run(["sh", "-c", LOOK, folder], capture_output=True, text=True, check=True)
    return sorted(done.stdout.splitlines())


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_loader_finds_the_view(machine: Path, daemon: Daemon, ctl: Ctl, folder: str) -> None:
    done = ctl("run", "sh", "-c", LOOK, f"/sys/{FOLDERS[folder]}")

    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(done.stdout.splitlines()) == look(daemon.cache / "view" / folder)
    assert sorted(done.stdout.splitlines()) != look(machine / "sys" / FOLDERS[folder])


def test_the_loader_can_change_nothing_of_it(daemon: Daemon, ctl: Ctl) -> None:
    done = ctl("run", "sh", "-c", "echo 0x0 >/sys/firmware/memmap/0/end")
    assert done.returncode != 0
    assert "Read-only" in done.stderr


def test_nobody_else_finds_it(machine: Path, daemon: Daemon, bus: PrivateBus) -> None:
    # The shell that starts it stays in the namespace in which the machine is.
    script = f'"$@" && cd /sys/firmware/memmap && {LOOK.partition("&& ")[2]}'
    ctl = (sys.executable, "-m", "kexecprepd.ctl", "run", "true")
    done = subprocess.run(
        on_machine(machine, "sh", "-c", script, "sh", *ctl),
        env={**bus.environment, "PYTHONPATH": str(CHECKOUT)},
        capture_output=True,
        text=True,
        timeout=DEADLINE,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(done.stdout.splitlines()) == look(machine / "sys/firmware/memmap")


@pytest.mark.parametrize(
    ("script", "code"), [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", 137), ("kill -INT $$", 130)]
)
def test_it_ends_as_the_loader_does(daemon: Daemon, ctl: Ctl, script: str, code: int) -> None:
    done = ctl("run", "--", "sh", "-c", script)
    assert (done.returncode, done.stderr) == (code, "")


def test_options_of_the_loader_are_the_loader_s(daemon: Daemon, ctl: Ctl) -> None:
    done = ctl("run", "printf", "%s ", "--json=short", "--", "-l", "--help")
    assert (done.returncode, done.stdout) == (0, "--json=short -- -l --help ")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signals_reach_the_loader(
    machine: Path, daemon: Daemon, bus: PrivateBus, number: signal.Signals
) -> None:
    ctl = (sys.executable, "-m", "kexecprepd.ctl", "run")
    with subprocess.Popen(
        on_machine(machine, *ctl, sys.executable, "-c", WAITS, str(int(number)), str(DEADLINE)),
        env={**bus.environment, "PYTHONPATH": str(CHECKOUT)},
        stdout=subprocess.PIPE,
        bufsize=0,
        start_new_session=True,  # without a terminal, whose keys would reach it by themselves
    ) as process:
        assert process.stdout is not None
        lines = Lines(process.stdout)
        assert lines.next() == "ready\n"
        process.send_signal(number)
        assert lines.next() == f"got {number.name}\n"
    assert process.returncode == 3


def test_a_key_that_is_pressed_as_the_loader_starts_is_not_lost(
    machine: Path, daemon: Daemon, bus: PrivateBus, top: Path
) -> None:
    # Of others that run asks something before, a key may end all.
    press = 'arguments[0] == "sleep" and signal.raise_signal(signal.SIGINT)'
    path = customised(top / "customised", at_audit_event("os.posix_spawn", press))
    ctl = (sys.executable, "-m", "kexecprepd.ctl", "run")
    screen, ours = pty.openpty()
    try:
        done = subprocess.run(
            ["setsid", "--ctty", *on_machine(machine, *ctl, "sleep", "30")],
            env={**bus.environment, "PYTHONPATH": path},
            stdin=ours,
            timeout=DEADLINE,
        )
    finally:
        os.close(screen)
        os.close(ours)
    assert done.returncode == 128 + signal.SIGINT


def test_a_signal_that_is_ignored_here_still_reaches_a_loader_that_wants_it(
    machine: Path, daemon: Daemon, bus: PrivateBus
) -> None:
    loader = f"""
import os, signal
signal.signal(signal.SIGHUP, lambda *_: os._exit(3))
os.kill(os.getppid(), signal.SIGHUP)
signal.sigtimedwait([], {DEADLINE})
"""
    run = ("run", sys.executable, "-c", loader)
    assert run_ctl(machine, bus.environment, *run, wrapper=["nohup"]).returncode == 3


def test_its_status_is_not_lost_where_the_ends_of_children_are_ignored(
    machine: Path, daemon: Daemon, bus: PrivateBus
) -> None:
    ignoring = ["env", "--ignore-signal=CHLD"]
    run = ("run", "sh", "-c", "exit 7")
    done = run_ctl(machine, bus.environment, *run, wrapper=ignoring)
    assert (done.returncode, done.stderr) == (7, "")


def test_what_nohup_has_it_ignore_the_loader_ignores(
    machine: Path, daemon: Daemon, bus: PrivateBus
) -> None:
    run = ("run", "sh", "-c", "kill -HUP $PPID; kill -HUP $$; echo still here")
    done = run_ctl(machine, bus.environment, *run, wrapper=["nohup"])
    assert (done.returncode, done.stdout) == (0, "still here\n")


def plug(machine: Path) -> str:
    """A script that plugs memory in, and unplugs nothing."""
    top = machine / recordings.MEMMAP / "90"
    return (
        f"mkdir {top}; echo 0x1000000000 >{top}/start; echo 0x103fffffff >{top}/end; "
        f"echo System RAM >{top}/type"
    )


def test_a_load_that_a_change_has_overtaken_is_no_success(
    machine: Path, daemon: Daemon, ctl: Ctl
) -> None:
    done = ctl("run", "sh", "-c", plug(machine))
    assert "out of date" in refusal(done)


def test_a_load_that_failed_and_was_overtaken_has_failed(
    machine: Path, daemon: Daemon, ctl: Ctl
) -> None:
    assert "out of date" in refusal(ctl("run", "sh", "-c", f"{plug(machine)}; exit 7"), 7)


def test_a_change_that_came_before_is_in_the_view(machine: Path, daemon: Daemon, ctl: Ctl) -> None:
    # The daemon has heard of no event: it is asked to look.
    add_range(machine, 64 * GIB, 65 * GIB - 1, "Reserved")
    done = ctl("run", "grep", "-rh", "0x1000000000", "/sys/firmware/memmap")
    assert (done.returncode, done.stdout) == (0, "0x1000000000\n")


def test_an_end_that_cannot_be_judged_is_no_success(daemon: Daemon, ctl: Ctl) -> None:
    assert "cannot be told" in refusal(ctl("run", "sh", "-c", f"kill -9 {daemon.pid}"))


def test_nothing_is_run_on_a_broken_map(
    machine: Path, bus: PrivateBus, top: Path, ctl: Ctl
) -> None:
    set_region(machine, 1, num_pages=0)
    with running(top, machine, bus.environment):
        assert "findings" in refusal(ctl("run", "touch", top / "run"), 4)
    assert not (top / "run").exists()


def test_nothing_is_run_where_there_is_nothing_to_hand_over(
    machine: Path, bus: PrivateBus, top: Path, ctl: Ctl
) -> None:
    recordings.remove(machine, recordings.RUNTIME_MAP)
    with running(top, machine, bus.environment):
        done = ctl("run", "touch", top / "run")
    assert done.returncode == 5
    assert done.stderr.startswith("kexecprepctl: ")
    assert not (top / "run").exists()


def test_nothing_is_run_without_the_daemon(bus: PrivateBus, top: Path, ctl: Ctl) -> None:
    assert "systemctl start" in refusal(ctl("run", "touch", top / "run"), 6)
    assert not (top / "run").exists()


def test_it_is_for_root(daemon: Daemon, bus: PrivateBus, top: Path) -> None:
    command = [*SETPRIV, sys.executable, "-m", "kexecprepd.ctl", "run", "true"]
    environment = {**bus.environment, "PYTHONPATH": str(modules())}
    done = subprocess.run(command, env=environment, cwd="/", capture_output=True, text=True)
    assert "root" in refusal(done, 7)


def test_where_nothing_can_be_mounted_nothing_is_run(
    daemon: Daemon, bus: PrivateBus, machine: Path, top: Path
) -> None:
    without = ("setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin")
    ctl = (sys.executable, "-m", "kexecprepd.ctl", "run", "touch", str(top / "run"))
    done = subprocess.run(
        on_machine(machine, *without, *ctl),
        env={**bus.environment, "PYTHONPATH": str(CHECKOUT)},
        capture_output=True,
        text=True,
    )
    assert "CAP_SYS_ADMIN" in refusal(done, 7)
    assert not (top / "run").exists()


def test_a_loader_that_is_not_there_is_named(daemon: Daemon, ctl: Ctl) -> None:
    assert "no-such-loader" in refusal(ctl("run", "no-such-loader", "-l"))


@pytest.mark.parametrize("arguments", [(), ("--",)])
def test_it_takes_a_command(daemon: Daemon, ctl: Ctl, arguments: tuple[str, ...]) -> None:
    assert "takes a command" in refusal(ctl("run", *arguments), 2)


def test_another_tree_is_refused(daemon: Daemon, ctl: Ctl, top: Path) -> None:
    assert "--root" in refusal(ctl("--root", top, "run", "true"), 2)


def test_a_loader_that_takes_no_notice_of_the_view_is_named(
    daemon: Daemon, bus: PrivateBus, machine: Path, top: Path
) -> None:
    kexec = top / "bin/kexec"
    kexec.parent.mkdir()
    kexec.write_text("#!/bin/sh\necho kexec-tools 2.0.29\n")
    kexec.chmod(0o755)
    path = f"{kexec.parent}:{os.environ['PATH']}"
    done = run_ctl(machine, {**bus.environment, "PATH": path}, "run", "kexec", "-l", "vmlinuz")
    assert (done.returncode, done.stdout) == (0, "kexec-tools 2.0.29\n")
    assert "kexec-tools 2.0.29 loads by kexec_file_load(2) first" in done.stderr
