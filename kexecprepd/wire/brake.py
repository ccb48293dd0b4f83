# SPDX-License-Identifier: LGPL-2.1-or-later
"""Keeps few calls waiting: the next are not read before those that were read have been answered.

GDBus reads whatever comes, in a thread of its own, and queues it for the main loop without a limit:
a user who calls faster than is answered fills the memory, with 1.2 KiB a call. There is no switch
for that; but a filter is called in that thread with each message, and one that waits stops it. What
comes meanwhile is the bus' to keep, and under its limits.

A filter in Python costs as much as an answer (50 us), so there is none but while it shall wait.
"""

import threading
from typing import Any

from gi.repository import GLib

CALLS = 64
"""After so many the queue is worked off. A client that has fewer under way never waits for it."""

LONGEST_WAIT = 1.0
"""Seconds; whatever the main loop may be doing, the bus is not left waiting for longer."""


class Brake:
    """Stops GDBus' thread now and then, until the main loop has caught up."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._calls = 0
        self._filter: int | None = None
        self._caught_up = threading.Event()

    def called(self) -> None:
        """A call is about to be answered."""
        self._calls += 1
        if self._calls >= CALLS and self._filter is None:
            self._caught_up.clear()
            self._filter = self._connection.add_filter(self._hold)
            # GDBus' own sources have this priority: it comes after every call that is queued now.
            GLib.idle_add(self.let_go, priority=GLib.PRIORITY_DEFAULT)

    def _hold(self, _connection: Any, message: Any, incoming: bool) -> Any:
        """Runs in GDBus' thread, which also sends: what goes out is not held up."""
        if incoming:
            self._caught_up.wait(LONGEST_WAIT)
        return message

    def let_go(self) -> bool:
        """Hold nothing back any more, until as many calls have come again."""
        if self._filter is not None:
            self._connection.remove_filter(self._filter)
        self._filter, self._calls = None, 0
        self._caught_up.set()
        return False
