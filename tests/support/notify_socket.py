# SPDX-License-Identifier: LGPL-2.1-or-later
"""Stands where systemd is: the socket that sd_notify(3) writes to, with every message kept."""

import fcntl
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

DEADLINE = 180.0
"""Seconds after which something that should have come counts as missing: it ends what hangs, and is
long for a machine that has much else to do."""

_MARK = b"mark"
_END = b"end"


@dataclass(frozen=True)
class Stored:
    """A file that the service wants kept."""

    content: bytes
    seals: int


class NotifySocket:
    """What the service said, one datagram after the other: `messages`, as far as they came.

    `stored` is the file descriptor store: what there is by each name.

    Like systemd, it reads all the time: the kernel keeps ten, and the eleventh makes the service
    wait.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.messages: list[str] = []
        self.stored: dict[str, list[Stored]] = {}
        self._marks = 0
        self._looked_at = 0
        self._arrived = threading.Condition()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.bind(str(path))
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def close(self) -> None:
        self._send(_END)
        self._reader.join()
        self._socket.close()
        self.path.unlink()

    def drain(self) -> list[str]:
        """Everything that had been sent up to now."""
        with self._arrived:
            before = self._marks
        self._send(_MARK)
        with self._arrived:
            assert self._arrived.wait_for(lambda: self._marks > before, DEADLINE)
        return self.messages

    def wait_for_new(self, deadline: float = DEADLINE) -> str:
        """The next message of any kind that is sent from now on."""
        self._looked_at = len(self.drain())
        return self.wait_for("", deadline)

    def wait_for(self, line: str, deadline: float = DEADLINE) -> str:
        """The next message with a line that begins so; a message is found once."""

        def found() -> str | None:
            while self._looked_at < len(self.messages):
                message = self.messages[self._looked_at]
                self._looked_at += 1
                if any(each.startswith(line) for each in message.split("\n")):
                    return message
            return None

        with self._arrived:
            message = self._arrived.wait_for(found, deadline)
            if message is None:
                raise TimeoutError(f"no {line!r} within {deadline} s, but {self.messages}")
            return message

    def _send(self, mark: bytes) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.sendto(mark, str(self.path))

    def _read(self) -> None:
        while True:
            data, fds, _, _ = socket.recv_fds(self._socket, 65536, 8)
            if data == _END:
                return
            with self._arrived:
                if data == _MARK:
                    self._marks += 1
                else:
                    self.messages.append(data.decode())
                    self._keep(data.decode().split("\n"), fds)
                self._arrived.notify_all()

    def _keep(self, lines: list[str], fds: list[int]) -> None:
        """As systemd does: what has the same name as another does not replace it."""
        name = next((line.partition("=")[2] for line in lines if line.startswith("FDNAME=")), "")
        if "FDSTOREREMOVE=1" in lines:
            self.stored.pop(name, None)
        for fd in fds:
            if "FDSTORE=1" in lines:
                content = os.pread(fd, 1 << 20, 0)
                file = Stored(content, fcntl.fcntl(fd, fcntl.F_GET_SEALS))
                self.stored.setdefault(name, []).append(file)
            os.close(fd)


@contextmanager
def notify_socket(directory: Path) -> Iterator[NotifySocket]:
    """A socket in `directory`, there until the end of the block."""
    listener = NotifySocket(directory / "notify")
    try:
        yield listener
    finally:
        listener.close()
