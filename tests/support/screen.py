# SPDX-License-Identifier: LGPL-2.1-or-later
"""A terminal of some width to run kexecprepctl on, and what it shows."""

import errno
import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from dataclasses import dataclass
from pathlib import Path

from .daemon import CHECKOUT
from .notify_socket import DEADLINE

_ROWS = 400
"""So many that less, which may be the pager that is found, shows all and ends by itself."""

_STYLE = re.compile(r"\033\[[0-9;]*m")


@dataclass(frozen=True)
class Shown:
    """What was on the screen, line by line, and how the program ended."""

    text: str
    code: int

    @property
    def lines(self) -> list[str]:
        """Without colours."""
        return _STYLE.sub("", self.text).splitlines()

    @property
    def words(self) -> list[str]:
        """In their order, wherever lines end."""
        return " ".join(self.lines).split()


def environment(**changes: str) -> dict[str, str]:
    """Nothing of whoever runs the tests gets in."""
    own = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "TERM": "xterm", "SYSTEMD_PAGER": ""}
    return {**own, "PYTHONPATH": str(CHECKOUT), **changes}


def ctl(*arguments: str | Path) -> list[str]:
    """The command line."""
    return [sys.executable, "-m", "kexecprepd.ctl", *map(str, arguments)]


def on_terminal(*arguments: str | Path, columns: int = 80, **changes: str) -> Shown:
    """Run kexecprepctl to its end on a terminal of its own, by itself without a pager."""
    screen, ours = pty.openpty()
    try:
        fcntl.ioctl(ours, termios.TIOCSWINSZ, struct.pack("4H", _ROWS, columns, 0, 0))
        process = subprocess.Popen(
            ctl(*arguments),
            env=environment(**changes),
            stdin=ours,
            stdout=ours,
            stderr=ours,
            start_new_session=True,
        )
        os.close(ours)
        text = b"".join(iter(lambda: _read(screen), b"")).decode()
        return Shown(text.replace("\r\n", "\n"), process.wait(DEADLINE))
    finally:
        os.close(screen)


def in_a_pipe(*arguments: str | Path, **changes: str) -> Shown:
    """Run it to its end where nobody looks."""
    done = subprocess.run(
        ctl(*arguments),
        env=environment(**changes),
        stdout=subprocess.PIPE,
        text=True,
        timeout=DEADLINE,
    )
    return Shown(done.stdout, done.returncode)


def _read(screen: int) -> bytes:
    try:
        return os.read(screen, 1 << 16)
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        return b""  # nobody has the terminal open any more
