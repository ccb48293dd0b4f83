# SPDX-License-Identifier: LGPL-2.1-or-later
"""Has no signal come between two things that belong together."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Have what comes meanwhile come afterwards, be it Ctrl-C, SIGTERM or a terminal that closes.

    A mask would not do: the kernel gives a signal to any thread that takes it, and GDBus' own does.
    """
    came: list[int] = []
    before = {
        number: signal.signal(number, lambda number, _frame: came.append(number))
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for each in dict.fromkeys(came):
            signal.raise_signal(each)
