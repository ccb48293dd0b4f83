# SPDX-License-Identifier: LGPL-2.1-or-later
"""Reads what a running program says, line by line: the same however the bytes arrive.

select(2) on a buffered file misses what its buffer already holds: two lines that come together look
like one. So there is one buffer, this one, and the pipe below it is read by its descriptor alone.
"""

import os
import select
from typing import IO

from .notify_socket import DEADLINE


class Lines:
    """The lines of an unbuffered pipe (`bufsize=0`); each must come before the deadline."""

    def __init__(self, pipe: IO[bytes], deadline: float = DEADLINE) -> None:
        self._pipe = pipe
        self._deadline = deadline
        self._buffer = b""

    def next(self) -> str:
        """The next line with its newline; what is left, or nothing, at the end of it all."""
        while b"\n" not in self._buffer:
            if not self._receive():
                break
        line, newline, self._buffer = self._buffer.partition(b"\n")
        return (line + newline).decode()

    def rest(self) -> str:
        """Everything that is yet to come, when the program has closed its end."""
        while self._receive():
            pass
        rest, self._buffer = self._buffer, b""
        return rest.decode()

    def _receive(self) -> bool:
        ready = select.select([self._pipe], [], [], self._deadline)[0]
        assert ready, f"nothing more came within {self._deadline} s, after {self._buffer!r}"
        data = os.read(self._pipe.fileno(), 1 << 16)
        self._buffer += data
        return bool(data)
