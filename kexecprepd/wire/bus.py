# SPDX-License-Identifier: LGPL-2.1-or-later
"""The one module that knows pydbus: objects on the system bus, without pydbus' hazards.

pydbus 0.6 registers objects and emits their signals. What is different here, and why:

- a table of methods made once, ready Variants as replies, and file descriptors in them:
  pydbus inspects a signature and builds an array byte by byte on every call, and has no fds
- errors go out under their own D-Bus names in clean text, and every call is answered: pydbus
  logs a traceback for each, and a name or text that D-Bus does not allow brings no reply at all
- the name is taken after the objects are there, and cannot be taken away: publish() lets any
  other client replace the owner
- the connection is GDBus' own, as `connection` has it, for pydbus' proxies and buses are not used
- members that the XML calls privileged are for uid 0: the bus is asked for the caller's uid, and
  meanwhile others are served
- calls that come faster than they are answered stay with the bus: GDBus would queue all of them
- the bus is asked on a connection of its own, where no one else's calls are before its answer
- method calls do not leak: PyGObject before 3.50 never drops a GDBusMethodInvocation, nor the
  file descriptors that came with the call
"""

import inspect
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from gi.repository import Gio, GLib
from pydbus.generic import signal as signal
from pydbus.registration import ObjectRegistration, ObjectWrapper

from .brake import Brake
from .callers import Callers
from .connection import BusUnavailable, CallFailed, Connection, call_failed, is_closed
from .errors import BusError, Failed
from .properties import Properties

PRIVILEGED = "org.freedesktop.systemd1.Privileged"
"""Annotation of members that only uid 0 may use, as systemd's own interfaces have it."""

_BUS_TIMEOUT_MSEC = 5_000
_DO_NOT_QUEUE = 4
_PRIMARY_OWNER = 1
_DBUS = "org.freedesktop.DBus"
_DBUS_PATH = "/org/freedesktop/DBus"
_ONE_UINT32 = GLib.VariantType("(u)")
_PROPERTIES = "org.freedesktop.DBus.Properties"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Reply:
    """A method's answer as a ready tuple Variant, and the fds that its handles index.

    The fds stay the caller's of `Bus.export`'s object until sent, then they are closed.
    """

    body: Any
    fds: tuple[int, ...] = ()


class Bus(Connection):
    """A connection that serves objects, under a name of its own."""

    def __init__(self) -> None:
        """Raises BusUnavailable."""
        super().__init__()
        self._questions = _another_connection()
        self._callers = Callers(self._ask_uid)
        self._brake = Brake(self.connection)

    def export(self, path: str, xml: str, implementation: object) -> None:
        """Put an object on the bus: what `xml` declares, by methods and attributes so named.

        A method returns a Reply or None, and raises BusError. Attributes are the properties'
        values; an object of one interface may have them as ready `Properties` too, in
        `ready_properties`. `signal()` attributes send the signals, `PropertiesChanged` that of
        Properties.
        """
        interfaces = Gio.DBusNodeInfo.new_for_xml(xml).interfaces
        wrapper = _Wrapper(implementation, interfaces, self._callers, self._brake)
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

    def close(self) -> None:
        """Leave the bus: nothing is answered any more. It is the last that is done before the end.

        A filter that GDBus' thread calls when Python has gone gives it no message but what happens
        to be in memory, and it works on that. Once closed, the thread has nothing to call it with.
        """
        self._brake.let_go()
        try:
            self.connection.close_sync(None)
        except GLib.Error as error:
            if not is_closed(error):
                raise

    def _ask_bus(self, method: str, arguments: Any) -> tuple[Any, ...]:
        reply = self.call(_DBUS, _DBUS_PATH, f"{_DBUS}.{method}", arguments, _BUS_TIMEOUT_MSEC)
        values: tuple[Any, ...] = reply.unpack()
        return values

    def _ask_uid(self, sender: str, then: Callable[[int | CallFailed], None]) -> None:
        def answered(connection: Any, result: Any) -> None:
            try:
                reply = connection.call_finish(result)
            except GLib.Error as error:
                then(call_failed(error))
            else:
                then(reply.get_child_value(0).get_uint32())

        # Of each connection's first answer this is the largest part: hence no GLib.Variant(), which
        # finds types anew, nor unpack().
        asked = GLib.Variant.new_tuple(GLib.Variant.new_string(sender))
        self._questions.call(
            *(_DBUS, _DBUS_PATH, _DBUS, "GetConnectionUnixUser", asked, _ONE_UINT32),
            *(Gio.DBusCallFlags.NONE, _BUS_TIMEOUT_MSEC, None, answered),
        )


def _another_connection() -> Any:
    """One that owns no name. Raises BusUnavailable."""
    flags = (
        Gio.DBusConnectionFlags.AUTHENTICATION_CLIENT
        | Gio.DBusConnectionFlags.MESSAGE_BUS_CONNECTION
    )
    try:
        address = Gio.dbus_address_get_for_bus_sync(Gio.BusType.SYSTEM, None)
        return Gio.DBusConnection.new_for_address_sync(address, flags, None, None)
    except GLib.Error as error:
        raise BusUnavailable(f"the system bus cannot be reached: {error.message}") from error


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
            if not is_closed(error):
                raise
            # Nobody is there to hear it; on_lost() has been or will be called.


class _Member(NamedTuple):
    """What answers a method call, given the arguments as a tuple Variant."""

    answer: Callable[[Any], Reply | None]
    privileged: bool


class _Wrapper(ObjectWrapper):  # type: ignore[misc] # pydbus has no types
    """pydbus' own, with the dispatch replaced."""

    def __init__(
        self, implementation: object, interfaces: Any, callers: Callers, brake: Brake
    ) -> None:
        super().__init__(implementation, interfaces)
        self._callers = callers
        self._brake = brake
        self._privileged = {
            f"{interface.name}.{member.name}"
            for interface in interfaces
            for member in interface.properties
            if _is_privileged(member)
        }
        self._members = {
            (interface.name, method.name): _Member(
                _answering(
                    getattr(implementation, method.name), has_arguments=bool(method.in_args)
                ),
                _is_privileged(method),
            )
            for interface in interfaces
            for method in interface.methods
        }
        self._members[_PROPERTIES, "Get"] = _Member(self._get, False)
        self._members[_PROPERTIES, "GetAll"] = _Member(self._get_all, False)
        self._set = _Member(_answering(self.Set, has_arguments=True), False)

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
        name = (interface, method)
        self._brake.called()
        member = self._members.get(name) or self._setter(parameters)
        if not member.privileged:
            _respond(invocation, member, name, parameters)
            return

        def decided(refusal: BusError | None) -> None:
            _respond(invocation, member, name, parameters, refusal)

        # The invocation may well be answered after this has returned.
        self._callers.decide(sender, decided)

    def _setter(self, parameters: Any) -> _Member:
        of, name = (parameters.get_child_value(n).get_string() for n in range(2))
        return self._set._replace(privileged=f"{of}.{name}" in self._privileged)

    def _get(self, arguments: Any) -> Reply:
        ready = self._ready()
        if ready:
            return Reply(ready.one(arguments.get_child_value(1).get_string()))
        return Reply(GLib.Variant("(v)", (self.Get(*arguments.unpack()),)))

    def _get_all(self, arguments: Any) -> Reply:
        ready = self._ready()
        if ready:
            return Reply(ready.all)
        return Reply(GLib.Variant("(a{sv})", (self.GetAll(*arguments.unpack()),)))

    def _ready(self) -> Properties | None:
        ready: Properties | None = getattr(self.object, "ready_properties", None)
        return ready


def _answering(
    method: Callable[..., Reply | None], *, has_arguments: bool
) -> Callable[[Any], Reply | None]:
    """A method as it is called with a Variant, which takes long to unpack, even an empty one."""
    if has_arguments:
        return lambda arguments: method(*arguments.unpack())
    return lambda _: method()


def _respond(
    invocation: Any,
    member: _Member,
    name: tuple[str, str],
    parameters: Any,
    refusal: BusError | None = None,
) -> None:
    try:
        if refusal is not None:
            raise refusal
        reply = member.answer(parameters)
    except BusError as error:
        invocation.return_dbus_error(error.name, _clean(error.sentence))
    except Exception:  # a bug of ours must not leave the caller waiting
        log.exception("Internal error in %s", ".".join(name))
        failed = "Internal error: the journal of kexecprepd.service has the details."
        invocation.return_dbus_error(Failed.name, failed)
    else:
        _send(reply, invocation)


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
