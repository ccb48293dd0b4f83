# SPDX-License-Identifier: LGPL-2.1-or-later
"""Reads a small file whole, as the kernel makes them: of no known size, and given in pieces."""

import errno
import os
import stat
from pathlib import Path

LIMIT = 16 << 20
"""Bytes, far above the longest that is read: /proc/iomem has a few thousand lines at most."""

_PIECE = 1 << 16


def contents(path: str | Path, limit: int = LIMIT, *, dir_fd: int | None = None) -> bytes:
    """All of a file, relative to the directory that is open as `dir_fd`, if one is.

    Raises OSError with the file's name; EFBIG for one longer than `limit` bytes, as nothing is cut
    off; EINVAL for what is no regular file. It never waits for anybody: a pipe would.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY, dir_fd=dir_fd)
    try:
        kind = stat.S_IFMT(os.fstat(fd).st_mode)
        if kind == stat.S_IFDIR:
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if kind != stat.S_IFREG:
            raise OSError(errno.EINVAL, "not a regular file")
        content = bytearray()
        while piece := os.read(fd, min(_PIECE, limit + 1 - len(content))):
            content += piece
            if len(content) > limit:
                raise OSError(errno.EFBIG, f"longer than {limit} bytes")
        return bytes(content)
    except OSError as error:
        error.filename = os.fspath(path)
        raise
    finally:
        os.close(fd)


def text(path: Path) -> str:
    """All of a file of text; what is not ASCII is escaped. Raises OSError as `contents` does."""
    return contents(path).decode("ascii", "backslashreplace")


def text_or_none(path: Path) -> str | None:
    """`text`, or None for a file that is not there or cannot be read, and that may be so."""
    try:
        return text(path)
    except OSError:
        return None
