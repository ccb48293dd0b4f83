# SPDX-License-Identifier: LGPL-2.1-or-later
"""Readies what a process is born with: standard streams that may be closed or full, and SIGINT."""

import io
import os
import signal
import sys
from typing import NoReturn, TextIO

from .exits import CtlError, Exit

_STANDARD = ((0, os.O_RDONLY), (1, os.O_RDONLY), (2, os.O_WRONLY))
"""What stands for each that is closed: /dev/null, where a write to the second one fails as before.

Left closed, its number goes to the next file that is opened, such as the connection to the bus."""


class _Output(io.FileIO):
    """Standard output. What cannot be written is a CtlError; a reader who has gone is none."""

    def write(self, data: bytes) -> int:  # type: ignore[override] # any buffer, in typeshed
        try:
            return super().write(data)
        except BrokenPipeError:
            raise
        except OSError as error:
            why = (error.strerror or str(error)).lower()
            sentence = f"Standard output cannot be written: {why}."
            raise CtlError(Exit.FAILED, sentence) from error


class _Errors(io.FileIO):
    """Standard error. What cannot be written there cannot be told anywhere, and is dropped."""

    def write(self, data: bytes) -> int:  # type: ignore[override] # any buffer, in typeshed
        try:
            return super().write(data)
        except OSError:
            return len(data)


def prepare() -> None:
    """Have this process end in words where its output cannot be written, and in silence by SIGINT.

    The kernel ends it then, also while it waits in the midst of a call that Python does not see.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else it is ignored
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    for number, flags in _STANDARD:
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, flags)  # which is that number, as the lowest one
            os.set_inheritable(opened, True)  # noqa: FBT003 # takes no name
    sys.stdout = _text(_Output(1, "wb", closefd=False), sys.stdout)
    sys.stderr = _text(_Errors(2, "wb", closefd=False), sys.stderr)


def _text(raw: io.FileIO, before: TextIO | None) -> io.TextIOWrapper:
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=before.encoding if before else "utf-8",
        errors="backslashreplace",  # also for names of files that are no text
        line_buffering=raw.fileno() == 2 or raw.isatty(),
    )


def finish() -> None:
    """Write what is left for standard output, or nothing: Python would try it again at exit, and
    complain.
    """
    try:
        sys.stdout.flush()
    except (CtlError, BrokenPipeError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)


def end(status: int) -> NoReturn:
    """End this process at once: Python's own way looks through all that was imported, which takes a
    tenth of what most commands take.
    """
    finish()
    sys.stderr.flush()
    os._exit(status)
