# SPDX-License-Identifier: LGPL-2.1-or-later
"""Has no signal come between two things that belong together, or leave a folder behind."""

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

_ENDS = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Have what comes meanwhile come afterwards, be it Ctrl-C, SIGTERM or a terminal that closes.

    A mask would not do: the kernel gives a signal to any thread that takes it, and GDBus' own does.
    """
    came: list[int] = []
    before = {
        number: signal.signal(number, lambda number, _frame: came.append(number))
        for number in _ENDS
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for each in dict.fromkeys(came):
            signal.raise_signal(each)


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder for this process alone, which is gone afterwards, also where a signal ends it."""
    top = ""
    before = {number: signal.getsignal(number) for number in _ENDS}

    def end(number: int, _frame: FrameType | None) -> None:
        shutil.rmtree(top, ignore_errors=True)
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    try:
        for number, handler in before.items():
            if handler is not signal.SIG_IGN:
                signal.signal(number, end)
        with uninterrupted():
            top = tempfile.mkdtemp(prefix="kexecprepctl.")
        yield Path(top)
    finally:
        shutil.rmtree(top, ignore_errors=True)
        for number, handler in before.items():
            signal.signal(number, handler)
