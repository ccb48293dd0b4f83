# SPDX-License-Identifier: LGPL-2.1-or-later
"""Sends method calls as fast as a bus takes them, and reads no answer; a program for a guest, too.

    flooder.py CALLS CONNECTIONS REPLIES DESTINATION PATH INTERFACE

CALLS in all, on CONNECTIONS in turn, of Properties.GetAll(INTERFACE). REPLIES is `unwanted`, as
NO_REPLY_EXPECTED has it, or `unread`: wanted, and left in the socket. It needs nothing but Python,
and speaks the protocol itself: a library would read what comes, and keep what it cannot send.
"""

import os
import socket
import struct
import sys

BATCH = 64
"""Calls in a write."""

_METHOD_CALL, _NO_REPLY_EXPECTED = 1, 1
_PATH, _INTERFACE, _MEMBER, _DESTINATION, _SIGNATURE = 1, 2, 3, 6, 8
_SERIAL_AT = 8
_DBUS = "org.freedesktop.DBus"


def main(calls: int, connections: int, replies: str, *where: str) -> None:
    """Send them all, or as many as the bus takes before it hangs up."""
    flags = {"unwanted": _NO_REPLY_EXPECTED, "unread": 0}[replies]
    destination, path, interface = where
    call = message(flags, destination, path, f"{_DBUS}.Properties", "GetAll", interface)
    sockets = [connected() for _ in range(connections)]
    print("flooding", flush=True)
    sent, serial = 0, 2
    while sent < calls and sockets:
        for each in [*sockets]:
            count = min(BATCH, calls - sent)
            try:
                each.sendall(b"".join(numbered(call, serial + n) for n in range(count)))
            except ConnectionError:  # dbus-broker's way with one that reads no replies
                sockets.remove(each)
            sent += count
            serial += count


def connected() -> socket.socket:
    """A connection to the system bus, which knows it by now."""
    address = os.environ.get("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/run/dbus/system_bus_socket")
    path = address.partition("path=")[2].partition(",")[0]
    bus = socket.socket(socket.AF_UNIX)
    bus.connect(path)
    uid = str(os.geteuid()).encode().hex()
    bus.sendall(f"\0AUTH EXTERNAL {uid}\r\n".encode())
    if not bus.recv(4096).startswith(b"OK "):
        raise SystemExit("the bus does not take us for who we are")
    hello = message(0, _DBUS, "/org/freedesktop/DBus", _DBUS, "Hello")
    bus.sendall(b"BEGIN\r\n" + numbered(hello, 1))
    bus.recv(4096)
    return bus


def message(
    flags: int,
    destination: str,
    path: str,
    interface: str,
    member: str,
    argument: str | None = None,
) -> bytes:
    """A method call with a string for argument, or without, little-endian; the serial is 0.

    (D-Bus Specification, "Message Format")
    """
    body = b"" if argument is None else _string(argument)
    fields = [
        _field(_PATH, "o", path),
        _field(_INTERFACE, "s", interface),
        _field(_MEMBER, "s", member),
        _field(_DESTINATION, "s", destination),
    ]
    if argument is not None:
        fields.append(struct.pack("<BB2sB2s", _SIGNATURE, 1, b"g\0", 1, b"s\0"))
    array = b"".join(_padded(each) for each in fields[:-1]) + fields[-1]
    head = struct.pack("<cBBBIII", b"l", _METHOD_CALL, flags, 1, len(body), 0, len(array))
    return _padded(head + array) + body


def numbered(call: bytes, serial: int) -> bytes:
    """The same with its serial, which is never 0."""
    return call[:_SERIAL_AT] + struct.pack("<I", serial & 0x7FFFFFFF or 1) + call[_SERIAL_AT + 4 :]


def _field(code: int, kind: str, value: str) -> bytes:
    return struct.pack("<BB2s", code, 1, kind.encode() + b"\0") + _string(value)


def _string(text: str) -> bytes:
    return struct.pack("<I", len(text)) + text.encode() + b"\0"


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 8)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])
