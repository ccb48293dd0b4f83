# SPDX-License-Identifier: LGPL-2.1-or-later
"""`kexecprepctl watch` among others: whom it believes, and what it does when nobody reads it."""

import json
from pathlib import Path

import pytest
from gi.repository import GLib

from kexecprepd.wire.names import BUS_NAME, MANAGER, MANAGER_PATH
from tests.support.daemon import Daemon
from tests.support.notify_socket import DEADLINE
from tests.support.private_bus import PrivateBus

from .client import Client
from .hotplug import plug
from .watching import watch

pytestmark = pytest.mark.bus


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
