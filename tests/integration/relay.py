# SPDX-License-Identifier: LGPL-2.1-or-later
"""A socket between a client and the bus: something happens just before a call gets through."""

import re
import select
import socket
import socketserver
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.notify_socket import DEADLINE
from tests.support.private_bus import PrivateBus

_BEGIN = b"BEGIN\r\n"
_HEADER = struct.Struct("<4sIII")
"""Byte order (little-endian, as all clients here have it), type, flags and version; the lengths of
the body, in bytes, and, after the serial number, of the header's fields."""

LOST = object()
"""What `act` returns for a call that is not to get through: nobody ever answers it."""


class _Pieces:
    """What a client sends, message by message, however its bytes arrive.

    Source: D-Bus Specification, "Authentication Protocol" and "Message Format".
    """

    def __init__(self) -> None:
        self._authenticated = False
        self._rest = b""

    def of(self, data: bytes) -> Iterator[bytes]:
        """The messages that are whole now; before the first of them, lines as they come."""
        self._rest += data
        if not self._authenticated:
            lines, begin, rest = self._rest.partition(_BEGIN)
            if not begin:
                yield data
                # The word itself may come in two parts.
                self._rest = self._rest[1 - len(_BEGIN) :]
                return
            yield (lines + begin)[len(self._rest) - len(data) :]
            self._authenticated, self._rest = True, rest
        while len(self._rest) >= _HEADER.size:
            _order, body, _serial, fields = _HEADER.unpack_from(self._rest)
            size = _HEADER.size + -(-fields // 8) * 8 + body
            if len(self._rest) < size:
                return
            message, self._rest = self._rest[:size], self._rest[size:]
            yield message


@contextmanager
def on_the_way(
    bus: PrivateBus, socket_path: Path, member: str, act: Callable[[], object]
) -> Iterator[dict[str, str]]:
    """An environment in which every call of `member` has `act` done before it gets through."""
    found = re.search(r"unix:path=([^,]+)", bus.address)
    assert found
    upstream = found[1]

    class Relay(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with socket.socket(socket.AF_UNIX) as other:
                other.connect(upstream)
                ends = {self.request: other, other: self.request}
                pieces = _Pieces()
                while True:
                    for end in select.select(list(ends), [], [], DEADLINE)[0]:
                        data = end.recv(65536)
                        if not data:
                            return
                        for piece in pieces.of(data) if end is self.request else [data]:
                            if member.encode() in piece and end is self.request and act() is LOST:
                                continue
                            ends[end].sendall(piece)

    with socketserver.ThreadingUnixStreamServer(str(socket_path), Relay) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield {**bus.environment, "DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={socket_path}"}
        finally:
            server.shutdown()
            thread.join()
