# SPDX-License-Identifier: LGPL-2.1-or-later
"""Counts how often the daemon reads its tree, by inotify(7)."""

import ctypes
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_IN_CLOSE_NOWRITE = 0x10
_IN_OPEN = 0x20
_EVENT = struct.Struct("iIII")


class Passes:
    """`count` is how often the watched file was opened since the block began."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._count = 0

    @property
    def count(self) -> int:
        while True:
            try:
                data = os.read(self._fd, 65536)
            except BlockingIOError:
                return self._count
            at = 0
            while at < len(data):
                _, mask, _, length = _EVENT.unpack_from(data, at)
                self._count += bool(mask & _IN_OPEN)
                at += _EVENT.size + length


@contextmanager
def passes_over(root: Path) -> Iterator[Passes]:
    """Watch a file that each pass over the tree opens once; a reading is two passes that agree."""
    libc = ctypes.CDLL(None, use_errno=True)
    fd = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    assert fd >= 0, os.strerror(ctypes.get_errno())
    try:
        # Closing is watched too, as equal events in a row are merged into one.
        path = os.fsencode(root / "sys/firmware/efi/systab")
        watch = libc.inotify_add_watch(fd, path, _IN_OPEN | _IN_CLOSE_NOWRITE)
        assert watch >= 0, os.strerror(ctypes.get_errno())
        yield Passes(fd)
    finally:
        os.close(fd)
