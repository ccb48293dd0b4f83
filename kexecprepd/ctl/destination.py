# SPDX-License-Identifier: LGPL-2.1-or-later
"""Writes a file to where its name leads: through links, and in place into what is no plain file."""

import errno
import os
import stat
import sys
import tempfile
from pathlib import Path

from ..reading.tree import printable, words_of
from .exits import CtlError, Exit
from .uninterrupted import uninterrupted

_STDOUT = 1
_MAX_LINKS = 40
"""As the kernel has it: MAXSYMLINKS in include/linux/namei.h."""


class Destination:
    """Where to write, by the name that the user gave it: `-` is standard output.

    `is_stdout` is whether nothing else may be printed, JSON neither, which `json` is the mode of.
    Making one raises CtlError for that, for a terminal, which takes nothing but text, and for a
    name that leads nowhere.
    """

    def __init__(self, name: str, json: str) -> None:
        self._name = name
        try:
            self._target: Path | int = _STDOUT if name == "-" else _followed(Path(name))
            self.is_stdout = isinstance(self._target, int) and _is_stdout(self._target)
            if isinstance(self._target, Path) and self._target.is_dir():
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            if _is_terminal(self._target):
                sentence = "This is no text to read, and will not be written to a terminal."
                hint = "Redirect standard output, or name a file."
                raise CtlError(Exit.USAGE, sentence, hint)
        except OSError as error:
            raise self._failed(error) from error
        if self.is_stdout and json != "off":
            sentence = "The file and JSON cannot both go to standard output."
            raise CtlError(Exit.USAGE, sentence, "Name a file, or leave --json out.")

    def write(self, data: bytes) -> None:
        """Write all of it. A plain file is one that only its owner may read, and an old one stays
        whole until the new one is. Raises CtlError.
        """
        if self._target == _STDOUT:
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
            return
        try:
            if isinstance(self._target, int):
                _into(os.dup(self._target), data)
            elif _is_plain(self._target):
                _replace(self._target, data)
            else:
                _into(os.open(self._target, os.O_WRONLY | os.O_NOCTTY | os.O_CLOEXEC), data)
        except OSError as error:
            raise self._failed(error) from error

    def _failed(self, error: OSError) -> CtlError:
        code = Exit.DENIED if isinstance(error, PermissionError) else Exit.FAILED
        return CtlError(code, f"{printable(self._name)} cannot be written: {words_of(error)}.")


def _followed(path: Path) -> Path | int:
    """What links lead to: a file, or a file descriptor that this process was given.

    Opened by its name in /proc/self/fd, a descriptor would be another one, at the file's beginning,
    and a socket would be none at all. Raises OSError.
    """
    for _ in range(_MAX_LINKS):
        folder = Path(os.path.realpath(path.parent))
        ours = folder.parts[:3] == ("/", "proc", str(os.getpid())) and folder.name == "fd"
        if ours and path.name.isdecimal():
            return _given(int(path.name))
        theirs = folder.parts[:2] == ("/", "proc") and folder.name == "fd"
        if theirs and not path.is_file():
            return path  # the name of a pipe or a socket there leads nowhere
        path = folder / path.name
        if not path.is_symlink():
            return path
        path = folder / os.readlink(path)
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))


def _given(number: int) -> int:
    # What is opened here is closed for programs that we run: that is how it is told apart.
    if not os.get_inheritable(number):
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))
    return number


def _is_stdout(number: int) -> bool:
    return number == _STDOUT or os.path.sameopenfile(number, _STDOUT)


def _is_terminal(target: Path | int) -> bool:
    if isinstance(target, int):
        return os.isatty(target)
    try:
        if not stat.S_ISCHR(target.stat().st_mode):
            return False
    except FileNotFoundError:
        return False
    fd = os.open(target, os.O_WRONLY | os.O_NOCTTY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        return os.isatty(fd)
    finally:
        os.close(fd)


def _is_plain(path: Path) -> bool:
    """Whether it can be replaced: a plain file, or one that is not there yet."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except FileNotFoundError:
        return True


def _into(fd: int, data: bytes) -> None:
    with open(fd, "wb") as file:
        file.write(data)


def _replace(path: Path, data: bytes) -> None:
    with uninterrupted():
        fd, name = tempfile.mkstemp(prefix=".kexecprepctl.", dir=path.parent)
        try:
            _into(fd, data)
            os.replace(name, path)
        except OSError:
            os.unlink(name)
            raise
