# SPDX-License-Identifier: LGPL-2.1-or-later
"""Reads the files that make up a kernel to load: whole, once, and never more than memory takes.

They are large, so nothing is read twice or copied: the parts that are handed over one after the
other, from as many files as it takes, are read to where they stay.
"""

import hashlib
import mmap
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from ..reading.tree import words_of
from .errors import LoadError

_MOST = 1000
"""Names in a directory of boot entries or add-ons, far above what there is."""

_ALIGNMENT = 4
"""Bytes. The kernel skips zeros up to here between archives (init/initramfs.c)."""

_AGAIN = "Try again when it is written to its end."


@dataclass(frozen=True, slots=True)
class Opened:
    """A regular file that is held open; `size` in bytes, and `stamp` tells a change of it.

    `what` it is to be, such as "kernel", is for sentences.
    """

    path: Path
    what: str
    fd: int
    size: int
    stamp: tuple[int, int]

    def read(self, start: int, size: int) -> bytes:
        """Some of it, all of which has to be there. Raises LoadError."""
        target = bytearray(size)
        self.fill(memoryview(target), start)
        return bytes(target)

    def head(self, size: int) -> bytes:
        """Its first bytes, fewer where it is shorter. Raises LoadError."""
        return self.read(0, min(size, self.size))

    def fill(self, target: memoryview, start: int) -> None:
        """Read to where it stays. Raises LoadError."""
        try:
            while len(target):
                count = os.preadv(self.fd, [target], start)
                if count == 0:
                    break
                target, start = target[count:], start + count
            changed = self._has_changed()
        except OSError as error:
            raise _unreadable(self.path, self.what, error) from error
        if len(target) or changed:
            raise self._changed()

    def sha256(self) -> str:
        """The digest of all of it, in hexadecimal. Raises LoadError where it has changed."""
        digest, at = hashlib.sha256(), 0
        try:
            while piece := os.pread(self.fd, 1 << 20, at):
                digest.update(piece)
                at += len(piece)
            changed = self._has_changed()
        except OSError as error:
            raise _unreadable(self.path, self.what, error) from error
        if at != self.size or changed:
            raise self._changed()
        return digest.hexdigest()

    def _has_changed(self) -> bool:
        return _stamp(os.fstat(self.fd)) != self.stamp

    def _changed(self) -> LoadError:
        return LoadError(f"The {self.what} {self.path} changed while it was read.", _AGAIN)


@dataclass(frozen=True, slots=True)
class Part:
    """Some bytes of a file, at least one."""

    file: Opened
    start: int
    size: int

    @classmethod
    def whole(cls, file: Opened) -> "Part":
        """All of it."""
        return cls(file, 0, file.size)

    @property
    def is_whole(self) -> bool:
        """Whether it is all of its file."""
        return (self.start, self.size) == (0, self.file.size)

    def head(self, size: int) -> bytes:
        """Its first bytes, fewer where it is shorter. Raises LoadError."""
        return self.file.read(self.start, min(size, self.size))


def listed(folder: Path, what: str) -> list[str]:
    """The names in a directory, in order; none where there is none.

    `what` they are, such as "Boot entries", is for sentences. Raises LoadError.
    """
    try:
        with os.scandir(folder) as entries:
            names = sorted(each.name for each in islice(entries, _MOST + 1))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        sentence = f"{what} cannot be listed: {folder}: {words_of(error)}."
        denied = isinstance(error, PermissionError)
        raise LoadError(sentence, "Run this as root." if denied else "", denied=denied) from error
    if len(names) > _MOST:
        raise LoadError(f"{folder} has more than {_MOST} files.", "Remove what is not in use.")
    return names


def room() -> int:
    """How many bytes of files there may be: half of the memory, as the kernel loads no more."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2


@contextmanager
def opened(path: Path, what: str) -> Iterator[Opened]:
    """Hold a regular file open; `what` it is to be is "kernel", "initrd" or "add-on".

    Raises LoadError for one that is missing, unreadable, of another kind, or empty.
    """
    try:
        # Looked at before it is opened: to open a device can have effects, and a pipe waits.
        _require_regular(path, os.stat(path).st_mode, what)
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError as error:
        raise _unreadable(path, what, error) from error
    try:
        status = os.fstat(fd)
        _require_regular(path, status.st_mode, what)
        if status.st_size == 0:
            raise LoadError(f"The {what} {path} is empty.", "Was it written to its end?")
        yield Opened(path, what, fd, status.st_size, _stamp(status))
    finally:
        os.close(fd)


def gather(parts: Sequence[Part], limit: int) -> memoryview | None:
    """Several parts in one piece of memory of at most `limit` bytes; None of none.

    Each begins at a multiple of four, as the kernel unpacks initrds one after the other. Source:
    Documentation/driver-api/early-userspace/buffer-format.rst. Raises LoadError.
    """
    if not parts:
        return None
    starts, total = [], 0
    for part in parts:
        start = -(-total // _ALIGNMENT) * _ALIGNMENT
        total = start + part.size
        starts.append(start)
        if total > limit:
            path, what = part.file.path, part.file.what
            sentence = f"The {what} {path} has {part.size} bytes, more than can be loaded."
            raise LoadError(sentence, "All files together may take half of the memory.")
    try:
        # Anonymous memory, not bytes: it can be filled where it is, and goes when it is let go.
        target = memoryview(mmap.mmap(-1, total))
    except (OSError, MemoryError) as error:
        sentence = f"There is not enough free memory to read {total} bytes of files."
        raise LoadError(sentence, "Stop what uses memory, or take smaller files.") from error
    for part, start in zip(parts, starts, strict=True):
        part.file.fill(target[start : start + part.size], part.start)
    return target


def _stamp(status: os.stat_result) -> tuple[int, int]:
    return status.st_size, status.st_mtime_ns


def _unreadable(path: Path, what: str, error: OSError) -> LoadError:
    sentence = f"The {what} {path} cannot be read: {words_of(error)}."
    if isinstance(error, PermissionError):
        return LoadError(sentence, "Run this as root.", denied=True)
    hint = "Kernels and initrds are in /boot, or below it."
    return LoadError(sentence, hint if isinstance(error, FileNotFoundError) else "")


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
