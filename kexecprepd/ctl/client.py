# SPDX-License-Identifier: LGPL-2.1-or-later
"""Asks the daemon over D-Bus, and turns what can go wrong into words and exit codes."""

import json
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..core.finding import Finding, Severity
from ..wire import errors
from ..wire.connection import BusUnavailable, CallFailed, Connection
from ..wire.names import BUS_NAME, MANAGER, MANAGER_PATH
from .exits import CtlError, Exit

if TYPE_CHECKING:  # most questions bring neither maps nor an image, and do without what has those
    from ..core.snapshot import MemoryRange, RuntimeRegion
    from ..wire.loader_info import LoaderInfo

_DBUS_ERROR = "org.freedesktop.DBus.Error."

_CODES = {
    errors.Invalid.name: Exit.INVALID,
    errors.Unsupported.name: Exit.UNSUPPORTED,
    **{
        _DBUS_ERROR + name: Exit.UNREACHABLE
        for name in (
            "Disconnected",
            "NameHasNoOwner",
            "NoReply",
            "NoServer",
            "ServiceUnknown",
            "TimedOut",
            "Timeout",
        )
    },
}

_FOR_EVERYONE = "Describe"
"""The method that the bus' policy has everyone call."""

# What the bus says where it, or systemd, could not start the daemon.
_NOT_STARTED = (_DBUS_ERROR + "Spawn.", "org.freedesktop.systemd1.")

_START_HINT = (
    "Look at `systemctl status kexecprepd`, and start it with `systemctl start kexecprepd`."
)


@dataclass(frozen=True, slots=True)
class Change:
    """A MapChanged signal."""

    generation: int
    sha256: str
    changed: tuple[str, ...]


class Client:
    """The daemon's Manager object, seen from outside. Every call may raise CtlError."""

    def __init__(self) -> None:
        try:
            self._bus = Connection()
        except BusUnavailable as error:
            sentence = f"The daemon cannot be asked: {error.reason}."
            hint = (
                "This needs a running D-Bus system bus. Without one `kexecprepctl check` and "
                "`kexecprepctl dump --force` read sysfs by themselves."
            )
            raise CtlError(Exit.UNREACHABLE, sentence, hint) from error

    def properties(self) -> dict[str, Any]:
        """All properties by their names."""
        (text,) = self._call(_FOR_EVERYONE)
        properties: dict[str, Any] = json.loads(text)
        return properties

    def image(self) -> "tuple[bytes, LoaderInfo]":
        """The image and its `info`."""
        reply = self._call_raw("GetSetupData")
        return _bytes(reply, 0), _info(reply, 1)

    def handover(self) -> "tuple[bytes, list[MemoryRange], LoaderInfo]":
        """The image, the memory map without absent memory, and the image's `info`: all that a load
        depends on, of one generation.
        """
        reply = self._call_raw("GetHandover")
        ranges = _ranges(reply.get_child_value(1).unpack())
        return _bytes(reply, 0), ranges, _info(reply, 2)

    def refresh(self) -> int:
        """Have the daemon read everything again now; the generation that this brings."""
        (generation,) = self._call("Refresh")
        return int(generation)

    def runtime_map(self) -> "list[RuntimeRegion]":
        """Every entry of the kernel's runtime map."""
        from ..core.snapshot import RuntimeRegion

        (regions,) = self._call("GetRuntimeMap")
        return [RuntimeRegion(*region) for region in regions]

    def memory_map(self) -> "list[MemoryRange]":
        """Every entry of the firmware memory map, numbered in their order."""
        (ranges,) = self._call("GetMemoryMap")
        return _ranges(ranges)

    def findings(self) -> list[Finding]:
        """What validation noticed, worst first."""
        (findings,) = self._call("GetFindings")
        return [
            Finding(Severity(severity), code, message, details.pop("hint", ""), details)
            for severity, code, message, details in findings
        ]

    def on_change(self, callback: Callable[[Change], None]) -> None:
        """Call back for every MapChanged that the daemon sends."""

        def received(arguments: tuple[Any, ...]) -> None:
            generation, sha256, changed = arguments
            callback(Change(generation, sha256, tuple(changed)))

        self._bus.subscribe(BUS_NAME, MANAGER_PATH, f"{MANAGER}.MapChanged", received)

    def on_owner(self, callback: Callable[[bool], None]) -> None:
        """Call back with whether the daemon is there, whenever that changes."""

        def received(arguments: tuple[Any, ...]) -> None:
            name, _old, new = arguments
            if name == BUS_NAME:
                callback(bool(new))

        service = "org.freedesktop.DBus"
        self._bus.subscribe(
            service, "/org/freedesktop/DBus", f"{service}.NameOwnerChanged", received
        )

    def on_lost(self, callback: Callable[[str], None]) -> None:
        """Call back with a reason when the bus is gone."""
        self._bus.on_lost(callback)

    def _call(self, method: str) -> tuple[Any, ...]:
        values: tuple[Any, ...] = self._call_raw(method).unpack()
        return values

    def _call_raw(self, method: str, arguments: Any = None) -> Any:
        try:
            return self._bus.call(BUS_NAME, MANAGER_PATH, f"{MANAGER}.{method}", arguments)
        except CallFailed as error:
            raise _in_words(error, method) from error


def _bytes(reply: Any, index: int) -> bytes:
    """An `ay` of a reply, without unpacking it byte by byte."""
    return bytes(reply.get_child_value(index).get_data_as_bytes().get_data() or b"")


def _info(reply: Any, index: int) -> "LoaderInfo":
    """An image's `info`."""
    from ..wire.loader_info import from_wire

    return from_wire(reply.get_child_value(index).unpack())


def _ranges(ranges: Iterable[tuple[int, int, str]]) -> "list[MemoryRange]":
    """An a(tts) of the memory map, numbered in its order."""
    from ..core.snapshot import MemoryRange

    return [MemoryRange(number, *each) for number, each in enumerate(ranges)]


def _in_words(error: CallFailed, method: str) -> CtlError:
    if error.denied:
        return CtlError(Exit.DENIED, *_of_denial(error, method))
    code = _CODES.get(error.name, Exit.FAILED)
    if code is Exit.UNREACHABLE or error.name.startswith(_NOT_STARTED):
        sentence = f"The daemon cannot be reached: {error.sentence}"
        return CtlError(Exit.UNREACHABLE, sentence, _START_HINT)
    hint = "`kexecprepctl findings` says where, and what to do." if code is Exit.INVALID else ""
    return CtlError(code, error.sentence, hint)


def _of_denial(error: CallFailed, method: str) -> tuple[str, str]:
    """A sentence and a hint. Who is denied what everyone may, or is root, lacks no privilege."""
    by_bus = error.name != errors.AccessDenied.name
    if by_bus and (method == _FOR_EVERYONE or os.geteuid() == 0):
        return (
            f"The bus lets nobody ask the daemon: its policy for {BUS_NAME} is not in force.",
            "Have the package installed whole, and the bus read its policy: "
            "`systemctl reload dbus`.",
        )
    if os.geteuid() == 0:
        return (
            "Root of a user namespace is not root to the daemon, and this tells physical "
            "addresses.",
            "Ask outside of the container.",
        )
    return (
        "Only root may ask for this: it tells physical addresses.",
        "Use sudo, or `kexecprepctl status`, which everyone may.",
    )
