# SPDX-License-Identifier: LGPL-2.1-or-later
"""Asks over the system bus, and listens to it: with GDBus alone, for who serves nothing."""

from collections.abc import Callable
from typing import Any

from gi.repository import Gio, GLib

from ..core.errors import KexecprepdError
from .errors import AccessDenied

TIMEOUT_MSEC = 25_000
"""How long a call waits for its answer unless told otherwise; GDBus' own default."""

DBUS_ERROR = "org.freedesktop.DBus.Error"

_DENIED = (f"{DBUS_ERROR}.AccessDenied", AccessDenied.name)


class BusUnavailable(KexecprepdError):
    """There is no bus, or the name on it is someone else's; the text says which."""

    LEAD = "The bus cannot be used"


class CallFailed(KexecprepdError):
    """A method call brought an error: its D-Bus name in `name`, its words as the text."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message, denied=name in _DENIED)
        self.name = name


class Connection:
    """A connection to the system bus, found as GLib finds it (DBUS_SYSTEM_BUS_ADDRESS)."""

    def __init__(self) -> None:
        """Raises BusUnavailable."""
        try:
            self.connection = Gio.bus_get_sync(Gio.BusType.SYSTEM, None)
        except GLib.Error as error:
            raise BusUnavailable(f"the system bus cannot be reached: {error.message}") from error
        # GLib's default ends the process as if by SIGTERM.
        self.connection.set_exit_on_close(False)

    def on_lost(self, callback: Callable[[str], None]) -> None:
        """Call back with a reason when the connection is gone; it does not come back."""

        def closed(_connection: Any, _remote: bool, error: Any) -> None:
            callback("the bus closed it" if error is None else error.message)

        self.connection.connect("closed", closed)

    def call(
        self, name: str, path: str, member: str, arguments: Any = None, timeout: int = TIMEOUT_MSEC
    ) -> Any:
        """Call `interface.Method` and return the reply's Variant. Raises CallFailed."""
        interface, _, method = member.rpartition(".")
        try:
            return self.connection.call_sync(
                name, path, interface, method, arguments, None, Gio.DBusCallFlags.NONE, timeout
            )
        except GLib.Error as error:
            raise call_failed(error) from error

    def subscribe(
        self, name: str, path: str, member: str, callback: Callable[[tuple[Any, ...]], None]
    ) -> None:
        """Call back with a signal's unpacked arguments whenever `name` sends it."""
        interface, _, signal_name = member.rpartition(".")

        def received(*arguments: Any) -> None:
            callback(arguments[5].unpack())

        flags = Gio.DBusSignalFlags.NONE
        self.connection.signal_subscribe(name, interface, signal_name, path, None, flags, received)


def call_failed(error: Any) -> CallFailed:
    """What a GLib.Error of a call says."""
    remote = Gio.DBusError.get_remote_error(error)
    if remote is None:  # GDBus' own: nobody answered
        why = "Disconnected" if is_closed(error) else "NoReply"
        return CallFailed(f"{DBUS_ERROR}.{why}", error.message)
    # GDBus puts the name before the text; strip_remote_error() does not work on PyGObject's copy.
    return CallFailed(remote, error.message.removeprefix(f"GDBus.Error:{remote}: "))


def is_closed(error: Any) -> bool:
    """Whether a GLib.Error says that the connection is not there any more."""
    return bool(error.matches(Gio.io_error_quark(), Gio.IOErrorEnum.CLOSED))
