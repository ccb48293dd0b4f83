# SPDX-License-Identifier: LGPL-2.1-or-later
"""One timeout of the main loop, that can be started anew and stopped."""

from collections.abc import Callable

from gi.repository import GLib


class Timer:
    """Calls back once, after a time in milliseconds; a new start takes the place of an old one."""

    def __init__(self) -> None:
        self._source: int | None = None

    @property
    def running(self) -> bool:
        """Whether a call is still to come."""
        return self._source is not None

    def start(self, msec: int, callback: Callable[[], object]) -> None:
        """Call back in so many milliseconds."""
        self.stop()

        def fire() -> bool:
            self._source = None
            callback()
            return False

        self._source = GLib.timeout_add(msec, fire)

    def stop(self) -> None:
        """Call back no longer."""
        if self._source is not None:
            GLib.source_remove(self._source)
            self._source = None
