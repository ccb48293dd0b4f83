# SPDX-License-Identifier: LGPL-2.1-or-later
"""Has something done again that failed for the moment, until it succeeds."""

from collections.abc import Callable

from .timer import Timer

FIRST_MSEC = 1_000
"""When to try again first; each time after that is twice as long."""

LONGEST_MSEC = 60_000
"""What the time between two tries grows to."""


class Retry:
    """Waits longer each time, as what is short now may be short for long."""

    def __init__(self, again: Callable[[], object], timer: Timer) -> None:
        """`again` tries it, and has `heard` called with what came of it."""
        self._again = again
        self._timer = timer
        self._delay = FIRST_MSEC

    def heard(self, *, failed: bool) -> None:
        """A try failed for the moment, so there will be another; or it did not."""
        if not failed:
            self.stop()
        elif not self._timer.running:
            self._timer.start(self._delay, self._again)
            self._delay = min(2 * self._delay, LONGEST_MSEC)

    def stop(self) -> None:
        """Try no longer; the next failure begins anew."""
        self._timer.stop()
        self._delay = FIRST_MSEC
