# SPDX-License-Identifier: LGPL-2.1-or-later
"""Shows on a terminal what a command prints: lines fit it, and long answers have a pager.

Source: systemd's src/shared/pager.c, and what its tools' manual pages say of the environment.
"""

import io
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TextIO

from . import terminal
from .output import unicode_wanted

_PAGERS = ("pager", "less", "more")
_LESS = "FRSXMK"
"""As systemd has it: end where it fits one screen, and on Ctrl-C; colours; no wrapping."""

_NO = ("", "0", "n", "no", "f", "false", "off")


class _Held(io.StringIO):
    """Standard output that is kept until it is whole; it still says that it is a terminal."""

    def __init__(self, terminal: TextIO) -> None:
        super().__init__()
        self._terminal = terminal

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._terminal.encoding

    def isatty(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._terminal.fileno()


@contextmanager
def shown(*, page: bool, fit: bool) -> Iterator[None]:
    """Have what is printed meanwhile shown afterwards: with `page` by a pager where the screen does
    not hold it, with `fit` in lines that fit. Where standard output is no terminal this does
    nothing.
    """
    out = sys.stdout
    if not terminal.is_terminal(out):
        yield
        return
    held = _Held(out)
    try:
        with redirect_stdout(held):
            yield
    finally:
        text = terminal.fitted(held.getvalue(), terminal.width(out) if fit else None)
        # As less does with -F; more, which is all that a small system has, waits for a key.
        if not (page and text and not terminal.fits_screen(text, out) and _paged(text)):
            out.write(text)
            out.flush()


def _paged(text: str) -> bool:
    """Have a pager show it; False where there is none, or none is wanted."""
    if os.environ.get("TERM", "dumb") == "dumb":
        return False
    return any(_shown_by(command, text) for command in _commands())


def _commands() -> Iterator[list[str]]:
    named = os.environ.get("SYSTEMD_PAGER", os.environ.get("PAGER"))
    try:
        command = None if named is None else shlex.split(named)
    except ValueError:  # a quote that is not closed
        command = None
    if command in ([], ["cat"]):
        return
    secure = _secure()
    if command and (not secure or "SYSTEMD_PAGERSECURE" in os.environ):
        yield command
    # Of these less alone knows how to be no way to a shell.
    yield from ([each] for each in _PAGERS if each == "less" or not secure)


def _shown_by(command: list[str], text: str) -> bool:
    environment = {
        **os.environ,
        "LESS": os.environ.get("SYSTEMD_LESS", _LESS),
    }
    charset = os.environ.get("SYSTEMD_LESSCHARSET") or ("utf-8" if unicode_wanted() else None)
    environment |= {"LESSCHARSET": charset} if charset else {}
    environment |= {"LESSSECURE": "1"} if _secure() else {}
    # Ctrl-C is for the pager; we end when it does. Were it ignored, the pager would ignore it, too.
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, lambda *_: None)
    try:
        pager = subprocess.Popen(command, stdin=subprocess.PIPE, env=environment)
        # It may be closed before it has read everything, and communicate() lets that be.
        pager.communicate(text.encode(sys.stdout.encoding, "backslashreplace"))
    except OSError:
        return False
    finally:
        signal.signal(signal.SIGINT, before)
    return pager.returncode != 127  # `env`, `sh` and the like have not found it


def _secure() -> bool:
    """Whether the pager must not be a way to more rights: whoever has logged in is another user,
    as with sudo.
    """
    told = os.environ.get("SYSTEMD_PAGERSECURE")
    if told is not None:
        return told.lower() not in _NO
    try:
        session = re.search(r"/user-(\d+)\.slice", Path("/proc/self/cgroup").read_text())
    except OSError:
        return False
    return session is not None and int(session[1]) != os.geteuid()
