# SPDX-License-Identifier: LGPL-2.1-or-later
"""When memory is looked at after events: the waiting is cut short here, and never timed."""

import pytest
from gi.repository import GLib

from kexecprepd.daemon import watcher
from kexecprepd.daemon.watcher import MemoryWatcher
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
