# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs a command to its end, as if it had been run in this program's place."""

import os
import signal
import sys
from types import FrameType

from ..reading.tree import words_of
from .exits import CtlError, Exit

_FROM_KEYS = (signal.SIGINT, signal.SIGQUIT)
"""A terminal sends them to all processes in its foreground: to the command as well as to us."""

_PASSED_ON = (*_FROM_KEYS, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)

# Python ignores these, and the command would go on ignoring them.
_RESTORED = (signal.SIGPIPE, signal.SIGXFSZ)


def run(command: list[str]) -> int:
    """Run a command, pass signals on to it, and return its exit status: 128 + n for signal n.

    What is ignored here, as by nohup, it ignores as well, unless it chooses otherwise. Raises
    CtlError where it cannot be started.
    """
    sys.stdout.flush()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # ignored, nobody's exit status is kept
    after = dict.fromkeys(_PASSED_ON, signal.SIG_DFL)
    early: list[int] = []  # that came before there was someone to pass them on to
    for number in _PASSED_ON:
        if signal.getsignal(number) is signal.SIG_IGN:
            after[number] = signal.SIG_IGN
        else:
            signal.signal(number, lambda number, _: early.append(number))
    pid = _start(command)

    def pass_on(number: int, frame: FrameType | None = None) -> None:
        if number not in _FROM_KEYS or not _in_foreground():
            os.kill(pid, number)

    for number in _PASSED_ON:
        signal.signal(number, pass_on)
    for each in early:  # also those of keys: whether they came to the command, too, nobody knows
        os.kill(pid, each)
    # It keeps its id until nothing is passed on to that any more.
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    for number, handler in after.items():
        signal.signal(number, handler)
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _start(command: list[str]) -> int:
    name = command[0]
    try:
        return os.posix_spawnp(name, command, os.environ, setsigdef=_RESTORED)
    except OSError as error:
        hint = "Name a program that is in PATH, or the whole path of one."
        raise CtlError(Exit.FAILED, f"{name} cannot be run: {words_of(error)}.", hint) from error


def _in_foreground() -> bool:
    """Whether we, and with us the command, are who gets the signals of a terminal's keys."""
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return False  # there is none
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)
