# SPDX-License-Identifier: LGPL-2.1-or-later
"""Who is calling: the bus is asked once for a connection; one that does not tell hurts nobody."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from gi.repository import Gio, GLib

from kexecprepd.wire.names import BUS_NAME, MANAGER, MANAGER_PATH
from tests.support.daemon import Daemon, running
from tests.support.private_bus import PrivateBus

from .client import TIMEOUT_MSEC, Client, Refused, connected, wait_until
from .relay import LOST, on_the_way

pytestmark = pytest.mark.bus

FAILED = "org.kexecprepd1.Error.Failed"


@contextmanager
def asking(bus: PrivateBus, top: Path, tree: Path, act: Callable[[], object]) -> Iterator[Daemon]:
    """The daemon; `act` happens whenever it asks the bus who is calling."""
    with (
        on_the_way(bus, top / "relay", "GetConnectionUnixUser", act) as environment,
        running(top, tree, environment) as daemon,
    ):
        yield daemon


def call_later(client: Client, method: str) -> list[Any]:
    """Call a method without waiting; the list gets its error, or None, when it is answered."""
    outcomes: list[Any] = []

    def answered(connection: Any, result: Any) -> None:
        try:
            connection.call_finish(result)
        except GLib.Error as error:
            outcomes.append((Gio.DBusError.get_remote_error(error), error.message))
        else:
            outcomes.append(None)

    client.connection.call(
        *(BUS_NAME, MANAGER_PATH, MANAGER, method, None, None),
        *(Gio.DBusCallFlags.NONE, TIMEOUT_MSEC, None, answered),
    )
    return outcomes


def test_a_bus_that_does_not_tell_makes_a_failure_of_it_and_nobody_else_wait(
    bus: PrivateBus, top: Path, tree: Path, client: Client
) -> None:
    with asking(bus, top, tree, lambda: LOST):
        outcomes = [call_later(client, method) for method in ("GetSetupData", "Refresh")]
        with connected(bus.address) as other:
            # Each of these would come after the two, had the daemon waited for the bus.
            assert other.get("State") == client.get("State") == "ready"
        assert client.settle() == []
        assert outcomes == [[], []]
        wait_until(lambda: all(outcomes), "the daemon has given up")
        for ((name, text),) in outcomes:
            assert name == FAILED
            assert "did not tell who is calling" in text


def test_the_bus_is_asked_once_for_a_connection_of_root_s(
    bus: PrivateBus, top: Path, tree: Path, client: Client
) -> None:
    asked: list[None] = []
    with asking(bus, top, tree, lambda: asked.append(None)):
        for method in ("GetSetupData", "GetHandover", "GetFindings", "Refresh"):
            client.call(method)
        assert len(asked) == 1
        with connected(bus.address) as other:
            other.call("GetSetupData")
        assert len(asked) == 2


def test_who_is_known_is_served_whatever_becomes_of_the_bus(
    bus: PrivateBus, top: Path, tree: Path, client: Client
) -> None:
    answers: list[object] = [None]
    with asking(bus, top, tree, lambda: answers[-1]):
        client.call("GetSetupData")
        answers.append(LOST)
        with connected(bus.address) as other:
            stuck = call_later(other, "GetSetupData")
            client.call("GetSetupData")
            client.set("LogLevel", "info")
            assert stuck == []


def test_a_failure_is_not_remembered(
    bus: PrivateBus, top: Path, tree: Path, client: Client
) -> None:
    answers: list[object] = [LOST]
    with asking(bus, top, tree, lambda: answers[-1]):
        with pytest.raises(Refused) as refused:
            client.call("GetSetupData")
        assert refused.value.name == FAILED
        answers.append(None)
        client.call("GetSetupData")


def test_a_question_leaves_no_fd_of_the_call_behind(
    bus: PrivateBus, daemon: Daemon, client: Client
) -> None:
    def call_anew() -> None:
        with connected(bus.address) as other:
            other.reply("GetSetupData", fd=2)

    call_anew()
    before = daemon.open_fds()
    for _ in range(50):
        call_anew()
    client.call("Describe")  # the last invocation may still be on its way out until then
    assert daemon.open_fds() <= before
