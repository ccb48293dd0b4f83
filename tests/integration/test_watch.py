# SPDX-License-Identifier: LGPL-2.1-or-later
"""`kexecprepctl watch` among others: whom it believes, and what it does when nobody reads it."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from gi.repository import GLib

from kexecprepd.wire.names import BUS_NAME, MANAGER, MANAGER_PATH
from tests.support.daemon import CHECKOUT, Daemon
from tests.support.lines import Lines
from tests.support.notify_socket import DEADLINE
from tests.support.private_bus import PrivateBus

from .client import Client
from .hotplug import plug

pytestmark = pytest.mark.bus


@contextmanager
def watching(bus: PrivateBus) -> Iterator["tuple[subprocess.Popen[bytes], Lines, Lines]"]:
    """It has begun; with what it prints, and what it says beside."""
    process = subprocess.Popen(
        [sys.executable, "-m", "kexecprepd.ctl", "watch", "--json=short"],
        env=bus.environment,
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    stdout, stderr = Lines(process.stdout), Lines(process.stderr)
    try:
        assert stderr.next() == "Watching, from generation 1 on.\n"
        yield process, stdout, stderr
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()


def test_a_signal_of_someone_else_s_is_not_believed(
    daemon: Daemon, bus: PrivateBus, client: Client, tree: Path
) -> None:
    with watching(bus) as (_, stdout, stderr):
        forged = GLib.Variant("(tsas)", (99, "", ["memmap"]))
        client.connection.emit_signal(None, MANAGER_PATH, MANAGER, "MapChanged", forged)
        service = "org.freedesktop.DBus"
        gone = GLib.Variant("(sss)", (BUS_NAME, ":1.1", ""))
        client.connection.emit_signal(
            None, "/org/freedesktop/DBus", service, "NameOwnerChanged", gone
        )
        plug(tree)
        client.call("Refresh")

        assert json.loads(stdout.next())["generation"] == 2
        daemon.stop()
        assert stderr.next() == "The daemon has stopped; waiting for it.\n"


def test_it_ends_when_nobody_reads_it(
    daemon: Daemon, bus: PrivateBus, client: Client, tree: Path
) -> None:
    with watching(bus) as (process, _, stderr):
        assert process.stdout is not None
        process.stdout.close()
        plug(tree)
        client.call("Refresh")

        assert process.wait(DEADLINE) == 0
        assert stderr.rest() == ""
