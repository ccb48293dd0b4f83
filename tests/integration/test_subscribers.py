# SPDX-License-Identifier: LGPL-2.1-or-later
"""As many subscribers as a bus has room for: each hears of every change, once and in order."""

import resource
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from gi.repository import Gio, GLib

from kexecprepd.wire.names import BUS_NAME, MANAGER, MANAGER_PATH
from tests.support.daemon import Daemon
from tests.support.private_bus import SHIPPED_POLICY, PrivateBus, private_bus

from .client import Client, connected, wait_until
from .hotplug import plug

pytestmark = pytest.mark.bus

SUBSCRIBERS = 1000
CHANGES = 5

_ROOM = f"{SHIPPED_POLICY}<limit name='max_connections_per_user'>{2 * SUBSCRIBERS}</limit>"


@pytest.fixture(autouse=True)
def _descriptors() -> Iterator[None]:
    """Enough of them for every connection, here and in the bus."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (4 * SUBSCRIBERS, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
def bus(top: Path) -> Iterator[PrivateBus]:
    """The shipped policy, and a bus with room for all of them."""
    with private_bus(top, _ROOM) as bus:
        yield bus


def _heard(heard: list[Any], *arguments: Any) -> None:
    heard.append(arguments[5].unpack()[0])


def subscribed(address: str, heard: list[int]) -> Any:
    """A connection that notes the generation of every MapChanged."""
    flags = (
        Gio.DBusConnectionFlags.AUTHENTICATION_CLIENT
        | Gio.DBusConnectionFlags.MESSAGE_BUS_CONNECTION
    )
    connection = Gio.DBusConnection.new_for_address_sync(address, flags, None, None)
    connection.signal_subscribe(
        *(BUS_NAME, MANAGER, "MapChanged", MANAGER_PATH, None, Gio.DBusSignalFlags.NONE),
        partial(_heard, heard),
    )
    # An answer means that the bus has the subscription.
    connection.call_sync(
        *("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "GetId"),
        *(None, GLib.VariantType("(s)"), Gio.DBusCallFlags.NONE, -1, None),
    )
    return connection


def test_each_of_a_thousand_hears_of_every_change(
    bus: PrivateBus, daemon: Daemon, tree: Path
) -> None:
    everyone: list[list[int]] = [[] for _ in range(SUBSCRIBERS)]
    with ExitStack() as stack:
        client: Client = stack.enter_context(connected(bus.address))
        for heard in everyone:
            stack.callback(subscribed(bus.address, heard).close_sync, None)
        for number in range(CHANGES):
            plug(tree, number)
            assert client.call("Refresh") == number + 2
        wait_until(
            lambda: all(len(heard) >= CHANGES for heard in everyone), "every signal, everywhere"
        )

    assert everyone == [list(range(2, CHANGES + 2))] * SUBSCRIBERS
