# SPDX-License-Identifier: LGPL-2.1-or-later
"""Reads the files that make up a kernel to load: whole, once, and never more than memory takes."""

import os
import stat
from collections.abc import Sequence
from pathlib import Path

from ..reading.tree import words_of
from .errors import LoadError

_ALIGNMENT = 4
"""Bytes. The kernel skips zeros up to here between archives (init/initramfs.c)."""


def room() -> int:
    """How many bytes of files there may be: half of the memory, as the kernel loads no more."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2


def read(path: Path, what: str, limit: int) -> bytes:
    """All of a regular file of at most `limit` bytes; `what` it is to be is "kernel" or "initrd".

    Raises LoadError for one that is missing, unreadable, of another kind, empty or too long.
    """
    try:
        # Looked at before it is opened: to open a device can have effects, and a pipe waits.
        _require_regular(path, os.stat(path).st_mode, what)
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
        with open(fd, "rb") as file:
            status = os.fstat(fd)
            _require_regular(path, status.st_mode, what)
            size = status.st_size
            if size == 0:
                raise LoadError(f"The {what} {path} is empty.", "Was it written to its end?")
            if size > limit:
                sentence = f"The {what} {path} has {size} bytes, more than can be loaded."
                raise LoadError(sentence, "All files together may take half of the memory.")
            data = file.read(size + 1)
    except OSError as error:
        sentence = f"The {what} {path} cannot be read: {words_of(error)}."
        if isinstance(error, PermissionError):
            raise LoadError(sentence, "Run this as root.", denied=True) from error
        hint = "Kernels and initrds are in /boot, or below it."
        raise LoadError(sentence, hint if isinstance(error, FileNotFoundError) else "") from error
    except MemoryError as error:
        sentence = f"There is not enough free memory to read the {what} {path}."
        raise LoadError(sentence, "Stop what uses memory, or take a smaller file.") from error
    if len(data) != size:
        sentence = f"The {what} {path} changed while it was read."
        raise LoadError(sentence, "Try again when it is written to its end.")
    return data


def _require_regular(path: Path, mode: int, what: str) -> None:
    if stat.S_ISREG(mode):
        return
    kinds = {
        stat.S_IFDIR: "a directory",
        stat.S_IFIFO: "a pipe",
        stat.S_IFSOCK: "a socket",
        stat.S_IFBLK: "a device",
        stat.S_IFCHR: "a device",
    }
    kind = kinds.get(stat.S_IFMT(mode), "no regular file")
    raise LoadError(f"The {what} {path} is {kind}.", f"Name the file that holds the {what}.")


def join(archives: Sequence[bytes]) -> bytes | None:
    """Several initrds as one, as the kernel unpacks them one after the other; None of none.

    Source: Documentation/driver-api/early-userspace/buffer-format.rst.
    """
    if len(archives) <= 1:
        return archives[0] if archives else None
    padding = (bytes(-len(archive) % _ALIGNMENT) for archive in archives)
    return b"".join(part for pair in zip(archives, padding, strict=True) for part in pair)
