# SPDX-License-Identifier: LGPL-2.1-or-later
"""The one module that knows pydbus: objects on the system bus, without pydbus' hazards.

pydbus 0.6 registers objects and emits their signals. What is different here, and why:

- a table of methods made once, ready Variants as replies, and file descriptors in them:
  pydbus inspects a signature and builds an array byte by byte on every call, and has no fds
- errors go out under their own D-Bus names in clean text, and every call is answered: pydbus
  logs a traceback for each, and a name or text that D-Bus does not allow brings no reply at all
- the name is taken after the objects are there, and cannot be taken away: publish() lets any
  other client replace the owner
- a lost connection is told to the caller: GLib's default ends the process as if by SIGTERM
- members that the XML calls privileged are for uid 0: the bus is asked for the caller's uid, and
  meanwhile others are served
- method calls do not leak: PyGObject before 3.50 never drops a GDBusMethodInvocation, nor the
  file descriptors that came with the call
"""

import inspect
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pydbus
from gi.repository import Gio, GLib
from pydbus.generic import signal as signal
from pydbus.registration import ObjectRegistration, ObjectWrapper

from ..core.errors import KexecprepdError
from .callers import Callers
from .errors import AccessDenied, BusError, Failed

PRIVILEGED = "org.freedesktop.systemd1.Privileged"
"""Annotation of members that only uid 0 may use, as systemd's own interfaces have it."""

TIMEOUT_MSEC = 25_000
"""How long a call waits for its answer unless told otherwise; GDBus' own default."""

_BUS_TIMEOUT_MSEC = 5_000
_DO_NOT_QUEUE = 4
_PRIMARY_OWNER = 1
_DBUS = "org.freedesktop.DBus"
_DBUS_PATH = "/org/freedesktop/DBus"
_PROPERTIES = "org.freedesktop.DBus.Properties"
_DBUS_ERROR = "org.freedesktop.DBus.Error"
_DENIED = (f"{_DBUS_ERROR}.AccessDenied", AccessDenied.name)

log = logging.getLogger(__name__)


class BusUnavailable(KexecprepdError):
    """There is no bus, or the name on it is someone else's; the text says which."""

    LEAD = "The bus cannot be used"


class CallFailed(KexecprepdError):
    """A method call brought an error: its D-Bus name in `name`, its words as the text."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message, denied=name in _DENIED)
        self.name = name


@dataclass(frozen=True, slots=True)
class Reply:
    """A method's answer as a ready tuple Variant, and the fds that its handles index.

    The fds stay the caller's of `Bus.export`'s object until sent, then they are closed.
    """

    body: Any
    fds: tuple[int, ...] = ()


class Bus:
    """A connection to the system bus, found as GLib finds it (DBUS_SYSTEM_BUS_ADDRESS)."""

    def __init__(self) -> None:
        try:
            self._bus = pydbus.SystemBus()
        except GLib.Error as error:
            raise BusUnavailable(f"the system bus cannot be reached: {error.message}") from error
        self.connection = self._bus.con
        self.connection.set_exit_on_close(False)
        self._callers = Callers(self._ask_uid)

    def on_lost(self, callback: Callable[[str], None]) -> None:
        """Call back with a reason when the connection is gone; it does not come back."""

        def closed(_connection: Any, _remote: bool, error: Any) -> None:
            callback("the bus closed it" if error is None else error.message)

        self.connection.connect("closed", closed)

    def export(self, path: str, xml: str, implementation: object) -> None:
        """Put an object on the bus: what `xml` declares, by methods and attributes so named.

        A method returns a Reply or None, and raises BusError. Attributes are the properties'
        values. `signal()` attributes send the signals, `PropertiesChanged` that of Properties.
        """
        interfaces = Gio.DBusNodeInfo.new_for_xml(xml).interfaces
        wrapper = _Wrapper(implementation, interfaces, self._callers)
        ObjectRegistration(_Registrar(self.connection), path, interfaces, wrapper)

    def own(self, name: str) -> None:
        """Take a name for good: without a queue and without letting others replace us.

        Raises BusUnavailable where someone has it, or the bus' policy does not allow it.
        """
        try:
            arguments = GLib.Variant("(su)", (name, _DO_NOT_QUEUE))
            (result,) = self._ask_bus("RequestName", arguments)
        except CallFailed as error:
            raise BusUnavailable(f"the name {name} cannot be owned: {error.sentence}") from error
        if result != _PRIMARY_OWNER:
            raise BusUnavailable(f"the name {name} is taken: another kexecprepd is running")

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
            raise _call_failed(error) from error

    def subscribe(
        self, name: str, path: str, member: str, callback: Callable[[tuple[Any, ...]], None]
    ) -> None:
        """Call back with a signal's unpacked arguments whenever `name` sends it."""
        interface, _, signal_name = member.rpartition(".")

        def received(*arguments: Any) -> None:
            callback(arguments[5].unpack())

        flags = Gio.DBusSignalFlags.NONE
        self.connection.signal_subscribe(name, interface, signal_name, path, None, flags, received)

    def _ask_bus(self, method: str, arguments: Any) -> tuple[Any, ...]:
        reply = self.call(_DBUS, _DBUS_PATH, f"{_DBUS}.{method}", arguments, _BUS_TIMEOUT_MSEC)
        values: tuple[Any, ...] = reply.unpack()
        return values

    def _ask_uid(self, sender: str, then: Callable[[int | CallFailed], None]) -> None:
        def answered(connection: Any, result: Any) -> None:
            try:
                (uid,) = connection.call_finish(result).unpack()
            except GLib.Error as error:
                then(_call_failed(error))
            else:
                then(uid)

        self.connection.call(
            *(_DBUS, _DBUS_PATH, _DBUS, "GetConnectionUnixUser", GLib.Variant("(s)", (sender,))),
            *(GLib.VariantType("(u)"), Gio.DBusCallFlags.NONE, _BUS_TIMEOUT_MSEC, None, answered),
        )


def _call_failed(error: Any) -> CallFailed:
    remote = Gio.DBusError.get_remote_error(error)
    if remote is None:  # GDBus' own: nobody answered
        lost = error.matches(Gio.io_error_quark(), Gio.IOErrorEnum.CLOSED)
        return CallFailed(f"{_DBUS_ERROR}.{'Disconnected' if lost else 'NoReply'}", error.message)
    # GDBus puts the name before the text; strip_remote_error() does not work on PyGObject's copy.
    return CallFailed(remote, error.message.removeprefix(f"GDBus.Error:{remote}: "))


class _Registrar:
    """Stands where pydbus expects a bus, and registers in the way that suits the GLib at hand."""

    def __init__(self, connection: Any) -> None:
        self.con = self
        self._connection = connection

    def register_object(self, path: str, interface: Any, on_call: Any, *_unused: None) -> int:
        connection = self._connection
        if hasattr(connection, "register_object_with_closures2"):  # GLib 2.84 and later
            return int(connection.register_object_with_closures2(path, interface, on_call))
        if inspect.isfunction(vars(Gio.DBusConnection).get("register_object")):  # PyGObject 3.50
            return int(connection.register_object(path, interface, on_call))

        def call_and_drop(*arguments: Any) -> None:
            try:
                on_call(*arguments)
            finally:
                arguments[-1]._unref()  # the reference that older PyGObjects never drop

        return int(connection.register_object(path, interface, call_and_drop))

    def unregister_object(self, registration: int) -> None:
        self._connection.unregister_object(registration)

    def emit_signal(self, *arguments: Any) -> None:
        try:
            self._connection.emit_signal(*arguments)
        except GLib.Error as error:
            if not error.matches(Gio.io_error_quark(), Gio.IOErrorEnum.CLOSED):
                raise
            # Nobody is there to hear it; on_lost() has been or will be called.


class _Wrapper(ObjectWrapper):  # type: ignore[misc] # pydbus has no types
    """pydbus' own, with the dispatch replaced."""

    def __init__(self, implementation: object, interfaces: Any, callers: Callers) -> None:
        super().__init__(implementation, interfaces)
        self._callers = callers
        members = [
            (f"{interface.name}.{member.name}", member)
            for interface in interfaces
            for member in (*interface.methods, *interface.properties)
        ]
        self._privileged = {name for name, member in members if _is_privileged(member)}
        self._methods: dict[str, Callable[..., Reply | None]] = {
            name: getattr(implementation, member.name)
            for name, member in members
            if isinstance(member, Gio.DBusMethodInfo)
        }

    def call_method(
        self,
        _connection: Any,
        sender: str | None,
        _path: str,
        interface: str,
        method: str,
        parameters: Any,
        invocation: Any,
    ) -> None:
        def decided(refusal: BusError | None) -> None:
            self._respond(invocation, f"{interface}.{method}", parameters, refusal)

        # The invocation may well be answered after this has returned.
        if self._is_privileged(interface, method, parameters):
            self._callers.decide(sender, decided)
        else:
            decided(None)

    def _is_privileged(self, interface: str, method: str, parameters: Any) -> bool:
        if (interface, method) == (_PROPERTIES, "Set"):
            of, name = (parameters.get_child_value(n).get_string() for n in range(2))
            return f"{of}.{name}" in self._privileged
        return f"{interface}.{method}" in self._privileged

    def _respond(
        self, invocation: Any, member: str, parameters: Any, refusal: BusError | None
    ) -> None:
        try:
            if refusal is not None:
                raise refusal
            reply = self._answer(member, parameters.unpack())
        except BusError as error:
            invocation.return_dbus_error(error.name, _clean(error.sentence))
        except Exception:  # a bug of ours must not leave the caller waiting
            log.exception("Internal error in %s", member)
            failed = "Internal error: the journal of kexecprepd.service has the details."
            invocation.return_dbus_error(Failed.name, failed)
        else:
            _send(reply, invocation)

    def _answer(self, member: str, arguments: Any) -> Reply | None:
        if member == f"{_PROPERTIES}.Get":
            return Reply(GLib.Variant("(v)", (self.Get(*arguments),)))
        if member == f"{_PROPERTIES}.GetAll":
            return Reply(GLib.Variant("(a{sv})", (self.GetAll(*arguments),)))
        if member == f"{_PROPERTIES}.Set":
            self.Set(*arguments)
            return None
        return self._methods[member](*arguments)


def _send(reply: Reply | None, invocation: Any) -> None:
    if reply is None:
        invocation.return_value(None)
    elif reply.fds:
        # The list takes the fds over and closes them once they are sent.
        fds = Gio.UnixFDList.new_from_array(list(reply.fds))
        invocation.return_value_with_unix_fd_list(reply.body, fds)
    else:
        invocation.return_value(reply.body)


def _is_privileged(member: Any) -> bool:
    return any(a.key == PRIVILEGED and a.value == "true" for a in member.annotations or ())


def _clean(text: str) -> str:
    """Text that D-Bus carries: valid UTF-8 without NUL. Anything else would bring no reply."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")
