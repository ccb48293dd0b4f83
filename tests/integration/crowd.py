# SPDX-License-Identifier: LGPL-2.1-or-later
"""Many connections that wait for MapChanged: `python3 -m tests.integration.crowd N CHANGES`.

Prints "subscribed" when the bus knows of all of them; and when each has been told CHANGES times,
and the bus has nothing more for any, the generations that each was told, as JSON.
"""

import json
import os
import resource
import sys
from functools import partial
from typing import Any

from gi.repository import Gio, GLib

from kexecprepd.wire.names import BUS_NAME, MANAGER, MANAGER_PATH

from .client import connection_to

_FDS_EACH = 4
_BUS = "org.freedesktop.DBus"


def main(count: int, changes: int) -> None:
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 256 + _FDS_EACH * count), hard))
    heard: list[list[int]] = [[] for _ in range(count)]
    connections = [_subscribed(each) for each in heard]
    _hear_from_the_bus(connections)
    print("subscribed", flush=True)
    context = GLib.MainContext.default()
    while any(len(each) < changes for each in heard):
        context.iteration(True)
    # What had been sent once too often would come before this.
    _hear_from_the_bus(connections)
    while context.iteration(False):
        pass
    print(json.dumps(heard), flush=True)


def _subscribed(heard: list[int]) -> Any:
    connection = connection_to(os.environ["DBUS_SYSTEM_BUS_ADDRESS"])
    connection.signal_subscribe(
        *(BUS_NAME, MANAGER, "MapChanged", MANAGER_PATH, None, Gio.DBusSignalFlags.NONE),
        partial(_told, heard),
    )
    return connection


def _told(heard: list[int], *arguments: Any) -> None:
    heard.append(arguments[5].unpack()[0])


def _hear_from_the_bus(connections: list[Any]) -> None:
    """An answer means that the bus has all that was sent before, and we all that it sent."""
    for connection in connections:
        connection.call_sync(
            *(_BUS, "/org/freedesktop/DBus", _BUS, "GetId", None),
            *(GLib.VariantType("(s)"), Gio.DBusCallFlags.NONE, -1, None),
        )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
