# SPDX-License-Identifier: LGPL-2.1-or-later
"""A timer for tests that do not wait."""

from collections.abc import Callable

from kexecprepd.daemon.timer import Timer


class Clock(Timer):
    """A timer that goes off when the test says so; `waits` are the times that were asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[int] = []
        self._callback: Callable[[], object] | None = None

    @property
    def running(self) -> bool:
        return self._callback is not None

    def start(self, msec: int, callback: Callable[[], object]) -> None:
        self.waits.append(msec)
        self._callback = callback

    def stop(self) -> None:
        self._callback = None

    def go_off(self) -> None:
        callback, self._callback = self._callback, None
        assert callback is not None
        callback()
