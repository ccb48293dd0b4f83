# SPDX-License-Identifier: LGPL-2.1-or-later
"""Opens sysfs' files and takes their text apart, strictly; every error names the file."""

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..abi.efi import U64
from ..core.errors import KexecprepdError
from ..core.unreadable import Unreadable
from . import small

MAX_TEXT = 4096
"""A sysfs attribute never exceeds a page."""

_HEX = re.compile(r"0x(0|[1-9a-f][0-9a-f]*)\n")
_BARE_HEX = re.compile(r"(0|[1-9a-f][0-9a-f]*)\n")
_NUMBER = re.compile(r"0|[1-9][0-9]*")
_MAX_NUMBER = (1 << 31) - 1
"""The kernel counts with an int."""


_TRANSIENT = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO)
"""Errors that tell of the moment, not of the file."""

_DENIED = "Run this as root, or with CAP_DAC_READ_SEARCH as the service does."

_TRY_AGAIN = "This may pass: try again, and look at what the system is short of if it does not."


class ReadError(KexecprepdError):
    """Sysfs could not be read whole; `unreadable` says how."""

    def __init__(self, unreadable: Unreadable) -> None:
        super().__init__(unreadable.sentence, unreadable.hint, denied=unreadable.denied)
        self.unreadable = unreadable


class Tree:
    """A directory held open; every path is relative to it, every error names the path whole."""

    def __init__(self, top: Path, fd: int) -> None:
        self._top = top
        self._fd = fd

    @classmethod
    @contextmanager
    def open(cls, top: Path) -> Iterator["Tree"]:
        """The tree at `top`, open within the block. Raises ReadError."""
        try:
            fd = os.open(top, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            if isinstance(error, PermissionError):
                raise unreadable("sysfs-unreadable", top, error, _DENIED) from error
            hint = "Give --root the directory that holds sys/, or mount sysfs."
            raise unreadable("sysfs-missing", top, error, hint) from error
        try:
            yield cls(top, fd)
        finally:
            os.close(fd)

    def error(self, code: str, path: str, problem: str, hint: str) -> ReadError:
        """What there is to say of a file that can be read, and is not as it must be."""
        return ReadError(Unreadable(code, printable(self._top / path), problem, hint))

    def malformed(self, path: str, expected: str) -> ReadError:
        """`error`, for content that no kernel writes; what was `expected` ends the sentence."""
        hint = "This is not what the kernel writes: compare with the kernel's documentation."
        return self.error("sysfs-malformed", path, f"expected {expected}", hint)

    def is_directory(self, path: str) -> bool:
        """Whether there is one. Raises ReadError for something else by that name."""
        return self.names(path) is not None

    def names(self, path: str) -> list[str] | None:
        """The names in a directory, None where it does not exist."""
        try:
            fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self._fd)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._unreadable(path, error) from error
        try:
            return os.listdir(fd)
        except OSError as error:
            raise self._unreadable(path, error) from error
        finally:
            os.close(fd)

    def bytes_within(self, path: str, limit: int) -> bytes | None:
        """A whole file, None where it is longer than `limit` bytes and that says enough of it."""
        try:
            return small.contents(path, limit, dir_fd=self._fd)
        except OSError as error:
            if error.errno == errno.EFBIG:
                return None
            raise self._unreadable(path, error) from error

    def bytes(self, path: str, limit: int) -> bytes:
        """A whole file. A file longer than `limit` bytes is an error: nothing is cut off."""
        content = self.bytes_within(path, limit)
        if content is None:
            raise self.malformed(path, f"at most {limit} bytes")
        return content

    def text(self, path: str) -> str:
        """A whole attribute, which is ASCII and no longer than a page."""
        try:
            return self.bytes(path, MAX_TEXT).decode("ascii")
        except UnicodeDecodeError as error:
            raise self.malformed(path, "plain text") from error

    def hex(self, path: str, maximum: int = U64) -> int:
        """A value as the kernel prints it with `0x%llx\\n`: lower case, no padding."""
        match = _HEX.fullmatch(self.text(path))
        if match is None:
            raise self.malformed(path, "one hexadecimal number, 0x..., and a newline")
        value = int(match[1], 16)
        if value > maximum:
            bits = maximum.bit_length()
            hint = "This is not what the kernel writes: the tree is damaged."
            raise self.error("sysfs-malformed", path, f"the number exceeds {bits} bits", hint)
        return value

    def bare_hex(self, path: str) -> int:
        """A value as the kernel prints it with `%lx\n`: without a prefix."""
        match = _BARE_HEX.fullmatch(self.text(path))
        if match is None or int(match[1], 16) > U64:
            raise self.malformed(path, "one hexadecimal number and a newline")
        return int(match[1], 16)

    def optional_text(self, path: str) -> str | None:
        """`text`, None where there is no such file."""
        try:
            os.stat(path, dir_fd=self._fd)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._unreadable(path, error) from error
        return self.text(path)

    def numbered(self, path: str) -> list[int] | None:
        """The numeric names in a directory, ascending; None where it does not exist."""
        names = self.names(path)
        if names is None:
            return None
        for name in names:
            if not _NUMBER.fullmatch(name) or int(name) > _MAX_NUMBER:
                expected = "only directories with a decimal number, of 31 bits at most"
                raise self.malformed(f"{path}/{name}", expected)
        return sorted(int(name) for name in names)

    def unknown(self, path: str, expected: tuple[str, ...]) -> list[str]:
        """The names in a directory beside those that it must hold; it is refused without them."""
        found = self.names(path) or []
        for name in expected:
            if name not in found:
                raise self._unreadable(f"{path}/{name}", FileNotFoundError(errno.ENOENT, ""))
        return [printable(name) for name in found if name not in expected]

    def _unreadable(self, path: str, error: OSError) -> ReadError:
        code, hint = "sysfs-unreadable", "If this persists, report it with the kernel's version."
        problem = None
        if isinstance(error, FileNotFoundError):
            code, problem = "sysfs-missing", "it is missing"
            hint = (
                "Half a map is never used: if this persists, report it with the kernel's version."
            )
        elif isinstance(error, PermissionError):
            problem = "permission denied"
            hint = _DENIED
        return unreadable(code, self._top / path, error, hint, problem)


def unreadable(
    code: str, path: Path, error: OSError, hint: str, problem: str | None = None
) -> ReadError:
    """What `error` makes of a reading; its own words are the problem where none is named.

    What is of the moment is no fault of the file's, whatever `code` and `hint` say of that.
    """
    if error.errno in _TRANSIENT:
        code, hint = "sysfs-unreadable", _TRY_AGAIN
    return ReadError(
        Unreadable(
            code,
            printable(path),
            problem or words_of(error),
            hint,
            denied=isinstance(error, PermissionError),
            transient=error.errno in _TRANSIENT,
        )
    )


def printable(path: str | Path) -> str:
    """A path or a name as text that can be sent and logged: what cannot be shown is escaped."""
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def words_of(error: OSError) -> str:
    """What the system says of an error, as the end of a sentence."""
    return (error.strerror or str(error)).lower()
