# SPDX-License-Identifier: LGPL-2.1-or-later
"""The brake: when it is there, whom it stops, and when it lets go."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from gi.repository import GLib

from kexecprepd.wire.brake import CALLS, Brake
from tests.support.notify_socket import DEADLINE

Filter = Callable[[Any, Any, bool], Any]


class Connection:
    """Has filters, and nothing else of a Gio.DBusConnection."""

    def __init__(self) -> None:
        self.filters: dict[int, Filter] = {}
        self._made = 0

    def add_filter(self, function: Filter) -> int:
        self._made += 1
        self.filters[self._made] = function
        return self._made

    def remove_filter(self, number: int) -> None:
        del self.filters[number]


@pytest.fixture
def connection() -> Connection:
    return Connection()


@pytest.fixture
def brake(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> Brake:
    """One that holds for as long as it takes."""
    monkeypatch.setattr("kexecprepd.wire.brake.LONGEST_WAIT", 2 * DEADLINE)
    return Brake(connection)


def call(brake: Brake, times: int) -> None:
    for _ in range(times):
        brake.called()


def work_off() -> None:
    while GLib.MainContext.default().iteration(False):
        pass


def passed_on_at_once(
    connection: Connection,
    message: str,
    *,
    incoming: bool,
    meanwhile: Callable[[], object] = lambda: None,
) -> list[str]:
    """What the one filter gives back in a thread of its own while nothing is worked off."""
    (hold,) = connection.filters.values()
    passed: list[str] = []
    thread = threading.Thread(target=lambda: passed.append(hold(connection, message, incoming)))
    thread.start()
    meanwhile()
    thread.join(DEADLINE)
    before = [*passed]
    work_off()
    thread.join()
    return before


def test_a_few_calls_have_no_filter(connection: Connection, brake: Brake) -> None:
    call(brake, CALLS - 1)
    assert connection.filters == {}


def test_there_is_one_filter_however_many_come(connection: Connection, brake: Brake) -> None:
    call(brake, 3 * CALLS)
    assert len(connection.filters) == 1
    work_off()


def test_what_comes_is_held_until_the_queue_is_worked_off(
    connection: Connection, brake: Brake
) -> None:
    order: list[str] = []
    GLib.idle_add(lambda: order.append("queued before"), priority=GLib.PRIORITY_DEFAULT)
    call(brake, CALLS)
    (hold,) = connection.filters.values()
    entered = threading.Event()

    def receive() -> None:
        entered.set()
        order.append(hold(connection, "held", True))

    thread = threading.Thread(target=receive)
    thread.start()
    entered.wait()
    work_off()
    thread.join()
    assert order == ["queued before", "held"]
    assert connection.filters == {}


def test_what_goes_out_is_not_held(connection: Connection, brake: Brake) -> None:
    call(brake, CALLS)
    assert passed_on_at_once(connection, "sent", incoming=False) == ["sent"]


def test_at_the_end_nothing_is_held_any_more(connection: Connection, brake: Brake) -> None:
    call(brake, CALLS)
    passed = passed_on_at_once(connection, "last", incoming=True, meanwhile=brake.let_go)
    assert passed == ["last"]
    assert connection.filters == {}


def test_it_counts_anew_when_it_has_let_go(connection: Connection, brake: Brake) -> None:
    call(brake, CALLS)
    work_off()
    call(brake, CALLS - 1)
    assert connection.filters == {}
    call(brake, 1)
    assert len(connection.filters) == 1
    work_off()
