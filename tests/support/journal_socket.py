# SPDX-License-Identifier: LGPL-2.1-or-later
"""The journal's end of its native protocol."""

import os
import socket
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

Entry = Mapping[str, str]


class Journal:
    """What is sent to a tree's run/systemd/journal/socket; `stream` is $JOURNAL_STREAM's value."""

    def __init__(self, receiver: socket.socket, stream: str) -> None:
        self._socket = receiver
        self.stream = stream

    def entries(self) -> list[Entry]:
        """Everything that has come so far."""
        found = []
        while True:
            try:
                found.append(_parsed(self._socket.recv(1 << 20)))
            except BlockingIOError:
                return found


@contextmanager
def journal(root: Path, standard_error: Path) -> Iterator[Journal]:
    """Listen below `root`, for a program with that file as its standard error."""
    path = root / "run/systemd/journal/socket"
    path.parent.mkdir(parents=True)
    standard_error.touch()
    status = os.stat(standard_error)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.setblocking(False)
        receiver.bind(str(path))
        yield Journal(receiver, f"{status.st_dev}:{status.st_ino}")


def _parsed(datagram: bytes) -> Entry:
    fields = {}
    while datagram:
        line, _, datagram = datagram.partition(b"\n")
        name, equals, value = line.partition(b"=")
        if not equals:
            (size,) = struct.unpack_from("<Q", datagram)
            value, end = datagram[8 : 8 + size], datagram[8 + size : 9 + size]
            assert end == b"\n"
            datagram = datagram[9 + size :]
        fields[name.decode()] = value.decode()
    return fields
