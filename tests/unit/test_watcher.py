# SPDX-License-Identifier: LGPL-2.1-or-later
"""When memory is looked at after events: the waiting is cut short here, and never timed."""

import os
from collections.abc import Iterator
from typing import BinaryIO

import pytest
from gi.repository import GLib

from kexecprepd.daemon import watcher
from kexecprepd.daemon.watcher import MemoryWatcher
from tests.support.clock import Clock
from tests.support.notify_socket import DEADLINE

_AN_HOUR = 3_600_000


def looks(count: int, *, found: bool) -> int:
    """How often it looks after one event, up to `count`; each look finds a change, or none does."""
    loop = GLib.MainLoop()
    looked = []

    def settled() -> bool:
        looked.append(True)
        if len(looked) == count:
            loop.quit()
        return found

    watching = MemoryWatcher(settled)
    late = GLib.timeout_add_seconds(int(DEADLINE), loop.quit)
    try:
        watching.look_again()
        loop.run()
    finally:
        watching.stop()
        if len(looked) == count:
            GLib.source_remove(late)
    return len(looked)


def test_events_that_do_not_end_are_looked_at_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watcher, "QUIET_MSEC", _AN_HOUR)
    monkeypatch.setattr(watcher, "LATEST_MSEC", 1)

    assert looks(1, found=True) == 1


def test_events_that_end_are_looked_at_before_the_latest_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(watcher, "QUIET_MSEC", 1)
    monkeypatch.setattr(watcher, "LATEST_MSEC", _AN_HOUR)

    assert looks(1, found=True) == 1


def test_where_nothing_was_found_there_is_another_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watcher, "QUIET_MSEC", 1)
    monkeypatch.setattr(watcher, "RECHECK_MSEC", 1)

    assert looks(2, found=False) == 2


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> list[Clock]:
    """The watcher's timers as it makes them: for the end of a burst, the latest look, the recheck.

    They go off when the test says so.
    """
    made: list[Clock] = []

    def make() -> Clock:
        made.append(Clock())
        return made[-1]

    monkeypatch.setattr(watcher, "Timer", make)
    return made


def running(clocks: list[Clock]) -> list[bool]:
    return [each.running for each in clocks]


def test_after_a_look_at_a_burst_none_is_due(clocks: list[Clock]) -> None:
    watching = MemoryWatcher(lambda: True)
    watching.look_again()
    watching.look_again()
    assert running(clocks) == [True, True, False]

    clocks[0].go_off()

    assert running(clocks) == [False, False, False]
    watching.stop()


def test_a_look_takes_the_place_of_the_recheck(clocks: list[Clock]) -> None:
    outcomes = [False, True]
    watching = MemoryWatcher(lambda: outcomes.pop(0))
    watching.look_again()
    clocks[0].go_off()
    assert running(clocks) == [False, False, True]

    watching.look_again()
    clocks[1].go_off()

    assert running(clocks) == [False, False, False]
    watching.stop()


def test_once_it_is_stopped_nothing_is_due(clocks: list[Clock]) -> None:
    watching = MemoryWatcher(lambda: False)
    watching.look_again()
    clocks[0].go_off()
    watching.look_again()
    assert running(clocks) == [True, True, True]

    watching.stop()

    assert running(clocks) == [False, False, False]


class Monitor:
    """As pyudev's, at one end of a pipe, which takes no filter; no event that comes is memory's."""

    def __init__(self, end: int) -> None:
        self._end = end

    def filter_by(self, subsystem: str) -> None:
        pass

    def set_receive_buffer_size(self, size: int) -> None:
        pass

    def start(self) -> None:
        pass

    def fileno(self) -> int:
        return self._end

    def poll(self, timeout: int) -> None:
        os.read(self._end, 1)


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Iterator[BinaryIO]:
    """The end of the pipe at which events are made."""
    there, here = os.pipe()
    made = iter((Monitor(there),))

    def from_netlink(context: object, source: str) -> Monitor:
        try:
            return next(made)
        except StopIteration:
            raise OSError("there is but one") from None

    monkeypatch.setattr("pyudev.Monitor.from_netlink", from_netlink)
    with open(here, "wb", buffering=0) as events:
        yield events
    os.close(there)


def iterate() -> None:
    """Have the main loop do what waits for it."""
    while GLib.MainContext.default().iteration(False):
        pass


def test_an_event_of_another_device_is_no_reason_to_look(
    clocks: list[Clock], kernel: BinaryIO
) -> None:
    watching = MemoryWatcher(lambda: True)

    kernel.write(b"x")
    iterate()

    assert running(clocks) == [False, False, False]
    watching.stop()


def test_after_lost_events_everything_is_looked_at(clocks: list[Clock], kernel: BinaryIO) -> None:
    watching = MemoryWatcher(lambda: True)

    kernel.close()
    iterate()

    assert running(clocks) == [True, True, False]
    watching.stop()
