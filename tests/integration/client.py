# SPDX-License-Identifier: LGPL-2.1-or-later
"""A D-Bus client for the tests: calls, properties and signals of the daemon, by Gio alone."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gi.repository import Gio, GLib

from kexecprepd.wire.names import BUS_NAME, LOG_CONTROL, LOG_CONTROL_PATH, MANAGER, MANAGER_PATH

PROPERTIES = "org.freedesktop.DBus.Properties"
TIMEOUT_MSEC = 30_000
PATHS = {MANAGER: MANAGER_PATH, LOG_CONTROL: LOG_CONTROL_PATH}


class Refused(Exception):
    """An error reply: its D-Bus name in `name`, its words as the text."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(text)
        self.name = name


@dataclass(frozen=True)
class Signal:
    """One signal that came: its interface and name as `member`, its arguments unpacked."""

    member: str
    arguments: tuple[Any, ...]


class Pending:
    """A call whose answer is on its way."""

    def __init__(self, connection: Any, message: Any) -> None:
        self._connection = connection
        self._result: Any = None
        connection.send_message_with_reply(
            message, Gio.DBusSendMessageFlags.NONE, TIMEOUT_MSEC, None, self._arrived
        )

    def _arrived(self, _connection: Any, result: Any) -> None:
        self._result = result

    def reply(self) -> tuple[Any, Any]:
        """As `Client.reply`, once the answer has come; GDBus sees to it that one does."""
        while self._result is None:
            GLib.MainContext.default().iteration(True)
        return _taken_apart(self._connection.send_message_with_reply_finish(self._result))


def _taken_apart(answer: Any) -> tuple[Any, Any]:
    """An answer's Variant and Gio.UnixFDList. Raises Refused."""
    if answer.get_message_type() == Gio.DBusMessageType.ERROR:
        raise Refused(answer.get_error_name(), answer.get_arg0() or "")
    return answer.get_body(), answer.get_unix_fd_list()


def _message(
    method: str,
    arguments: Any = None,
    *,
    interface: str | None = MANAGER,
    path: str = MANAGER_PATH,
    destination: str = BUS_NAME,
    fd: int | None = None,
) -> Any:
    """A method call; an `fd` goes along with it, whether the method wants one or not."""
    fds = None if fd is None else Gio.UnixFDList.new_from_array([os.dup(fd)])
    message = Gio.DBusMessage.new_method_call(destination, path, interface, method)
    if arguments is not None:
        message.set_body(arguments)
    if fds is not None:
        message.set_unix_fd_list(fds)
    return message


class Client:
    """A connection of its own to the bus; `signals` is what the daemon sent since it was made."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.signals: list[Signal] = []
        connection.signal_subscribe(
            None, None, None, None, None, Gio.DBusSignalFlags.NONE, self._received
        )
        self.ask_bus("GetId")  # the bus answers after it has taken the subscription

    def _received(self, *arguments: Any) -> None:
        _connection, _sender, path, interface, name, parameters = arguments[:6]
        if path in PATHS.values():
            self.signals.append(Signal(f"{interface}.{name}", parameters.unpack()))

    def begin(self, method: str, arguments: Any = None, **options: Any) -> Pending:
        """Call a method without waiting for its answer; the options are those of `_message`."""
        return Pending(self.connection, _message(method, arguments, **options))

    def reply(self, method: str, arguments: Any = None, **options: Any) -> tuple[Any, Any]:
        """Call a method: the reply's Variant and Gio.UnixFDList. Raises Refused."""
        answer, _ = self.connection.send_message_with_reply_sync(
            _message(method, arguments, **options),
            Gio.DBusSendMessageFlags.NONE,
            TIMEOUT_MSEC,
            None,
        )
        return _taken_apart(answer)

    def call(self, method: str, arguments: Any = None, **options: Any) -> Any:
        """Call a method: None, its one value, or all of them, unpacked. Raises Refused."""
        body, _ = self.reply(method, arguments, **options)
        values: tuple[Any, ...] = () if body is None else body.unpack()
        return values[0] if len(values) == 1 else values or None

    def get(self, name: str, interface: str = MANAGER) -> Any:
        arguments = GLib.Variant("(ss)", (interface, name))
        return self.call("Get", arguments, interface=PROPERTIES, path=PATHS[interface])

    def get_all(self, interface: str = MANAGER) -> dict[str, Any]:
        arguments = GLib.Variant("(s)", (interface,))
        values: dict[str, Any] = self.call(
            "GetAll", arguments, interface=PROPERTIES, path=PATHS[interface]
        )
        return values

    def set(self, name: str, value: str, interface: str = LOG_CONTROL) -> None:
        arguments = GLib.Variant("(ssv)", (interface, name, GLib.Variant("s", value)))
        self.call("Set", arguments, interface=PROPERTIES, path=PATHS[interface])

    def ask_bus(self, method: str, arguments: Any = None) -> Any:
        service = "org.freedesktop.DBus"
        return self.call(
            method, arguments, interface=service, path="/org/freedesktop/DBus", destination=service
        )

    def name_has_owner(self) -> bool:
        return bool(self.ask_bus("NameHasOwner", GLib.Variant("(s)", (BUS_NAME,))))

    def settle(self) -> list[Signal]:
        """Every signal that the daemon had sent up to now: its answers come after them."""
        self.call("Ping", interface="org.freedesktop.DBus.Peer")
        # The worker thread has queued those signals before it handed over the answer.
        while GLib.MainContext.default().iteration(False):
            pass
        return self.signals

    def of(self, member: str) -> list[tuple[Any, ...]]:
        """The arguments of each signal of that name that has come."""
        return [each.arguments for each in self.signals if each.member == member]

    def wait_for(self, member: str, count: int = 1) -> list[tuple[Any, ...]]:
        """The arguments of each signal of that name, once there are `count` of them."""
        wait_until(lambda: len(self.of(member)) >= count, f"{count} x {member}: {self.signals}")
        return self.of(member)


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Run the main loop until `condition` holds. It is looked at after every event, and often."""
    context = GLib.MainContext.default()
    until = time.monotonic() + TIMEOUT_MSEC / 1000
    source = GLib.timeout_add(10, lambda: True)
    try:
        while not condition():
            if time.monotonic() > until:
                raise TimeoutError(f"still waiting for {what}")
            context.iteration(True)
    finally:
        GLib.source_remove(source)


def connection_to(address: str) -> Any:
    """A connection to the bus at `address` that nobody else has."""
    flags = (
        Gio.DBusConnectionFlags.AUTHENTICATION_CLIENT
        | Gio.DBusConnectionFlags.MESSAGE_BUS_CONNECTION
    )
    return Gio.DBusConnection.new_for_address_sync(address, flags, None, None)


@contextmanager
def connected(address: str) -> Iterator[Client]:
    """A client on the bus at `address`."""
    connection = connection_to(address)
    try:
        yield Client(connection)
    finally:
        if not connection.is_closed():
            connection.close_sync(None)


def read_tree(root: Path, name: str) -> int:
    """A value of the tree's sys/, read without the daemon's code."""
    return int((root / "sys" / name).read_text(), 16)
