# SPDX-License-Identifier: LGPL-2.1-or-later
"""`kexecprepctl watch` among others: whom it believes, and what it does when nobody reads it."""

import fcntl
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from gi.repository import GLib

from kexecprepd.wire.names import BUS_NAME, MANAGER, MANAGER_PATH
from tests.support.daemon import CHECKOUT, Daemon
from tests.support.notify_socket import DEADLINE
from tests.support.private_bus import PrivateBus

from .client import Client, wait_until
from .hotplug import plug
from .watching import watch

pytestmark = pytest.mark.bus

STOPPED_AT_ONCE = """
import signal, sys
from kexecprepd.ctl import streams
from kexecprepd.ctl.__main__ import main

streams.prepare()
write = sys.stderr.write

def write_and_stop(text):
    write(text)
    if text.endswith("\\n"):
        signal.raise_signal(int(sys.argv[1]))

sys.stderr.write = write_and_stop
sys.exit(main(["watch"]))
"""
"""kexecprepctl watch, to which each line on standard error brings the signal of that number."""


def test_a_signal_of_someone_else_s_is_not_believed(
    daemon: Daemon, bus: PrivateBus, client: Client, tree: Path
) -> None:
    with watch(bus, "--json=short") as watching:
        forged = GLib.Variant("(tsas)", (99, "", ["memmap"]))
        client.connection.emit_signal(None, MANAGER_PATH, MANAGER, "MapChanged", forged)
        service = "org.freedesktop.DBus"
        gone = GLib.Variant("(sss)", (BUS_NAME, ":1.1", ""))
        client.connection.emit_signal(
            None, "/org/freedesktop/DBus", service, "NameOwnerChanged", gone
        )
        plug(tree)
        client.call("Refresh")

        assert json.loads(watching.stdout.next())["generation"] == 2
        daemon.stop()
        assert watching.stderr.next() == "The daemon has stopped; waiting for it.\n"


def test_it_ends_without_a_word_when_nobody_reads_it(
    daemon: Daemon, bus: PrivateBus, client: Client, tree: Path
) -> None:
    with watch(bus, "--json=short") as watching:
        assert watching.process.stdout is not None
        watching.process.stdout.close()
        plug(tree)
        client.call("Refresh")

        assert watching.process.wait(DEADLINE) == 1
        assert watching.stderr.rest() == ""


def test_what_a_shell_has_it_ignore_it_ignores(
    daemon: Daemon, bus: PrivateBus, client: Client, tree: Path
) -> None:
    background = ("sh", "-c", 'trap "" INT; exec "$@"', "sh")
    with watch(bus, "--json=short", wrapper=background) as watching:
        watching.process.send_signal(signal.SIGINT)
        plug(tree)
        client.call("Refresh")
        assert json.loads(watching.stdout.next())["generation"] == 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_can_be_stopped_where_nobody_reads_what_it_prints(
    daemon: Daemon, bus: PrivateBus, client: Client, tree: Path, number: signal.Signals
) -> None:
    with watch(bus, "--json=short") as watching:
        assert watching.process.stdout is not None
        fcntl.fcntl(watching.process.stdout, fcntl.F_SETPIPE_SZ, 4096)
        with open(f"/proc/{watching.process.pid}/fd/1", "wb", buffering=0) as pipe:
            pipe.write(bytes(4096))
        plug(tree)
        client.call("Refresh")
        wait_until(lambda: waits_to_write(watching.process.pid), "it waits")
        watching.process.send_signal(number)
        assert watching.process.wait(DEADLINE) == 0


def waits_to_write(pid: int) -> bool:
    """Whether a process waits for room in a pipe (the kernel's pipe_write, anon_pipe_write)."""
    return "pipe_write" in Path(f"/proc/{pid}/wchan").read_text()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_as_soon_as_it_says_that_it_watches_it_can_be_stopped(
    daemon: Daemon, bus: PrivateBus, number: signal.Signals
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", STOPPED_AT_ONCE, str(int(number))],
        env=bus.environment,
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
    )
    assert (done.returncode, done.stderr) == (0, "Watching, from generation 1 on.\n")
