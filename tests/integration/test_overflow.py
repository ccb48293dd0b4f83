# SPDX-License-Identifier: LGPL-2.1-or-later
"""The kernel's own events: of memory alone, a burst ends in one reading, and so do lost ones."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.daemon import Daemon, running
from tests.support.private_bus import PrivateBus

from .client import Client, wait_until
from .hotplug import MAP_CHANGED, plug
from .netlink import OWN_NETWORK, send_memory_events, send_other_events
from .readings import passes_over

pytestmark = pytest.mark.bus

ENOUGH_TO_OVERFLOW = 10_000
"""Events of at least half a KiB each in a buffer of at most 2 MiB."""


@pytest.fixture
def alone(bus: PrivateBus, top: Path, tree: Path) -> Iterator[Daemon]:
    """The daemon in a network namespace of its own."""
    with running(top, tree, bus.environment, wrapper=OWN_NETWORK, arguments=["--debug"]) as daemon:
        yield daemon


def test_a_real_event_is_noticed(alone: Daemon, client: Client, tree: Path) -> None:
    plug(tree)
    send_memory_events(alone.pid, 1)
    client.wait_for(MAP_CHANGED)
    assert "Memory event online of memory0" in alone.stderr


def test_a_burst_is_told_once(alone: Daemon, client: Client, tree: Path) -> None:
    blocks = 40
    with passes_over(tree) as passes:
        # So that they come at once, however busy this machine is.
        alone.process.send_signal(signal.SIGSTOP)
        for number in range(blocks):
            plug(tree, number)
        send_memory_events(alone.pid, blocks)
        alone.process.send_signal(signal.SIGCONT)
        client.wait_for(MAP_CHANGED)
        last = f"Memory event online of memory{blocks - 1}\n"
        wait_until(lambda: last in alone.stderr, last)
        assert len(client.call("GetMemoryMap")) == 16 + blocks
        client.settle()
        assert [arguments[0] for arguments in client.of(MAP_CHANGED)] == [2]
        assert passes.count == 2


def test_events_of_other_devices_wake_nobody(alone: Daemon, client: Client) -> None:
    send_other_events(alone.pid, 3)
    for _ in range(2):  # the main loop has been round when the first is answered
        client.get("State")
    assert "There were events" not in alone.stderr


def test_an_overflow_is_followed_by_a_reading_and_further_events(
    alone: Daemon, client: Client, tree: Path
) -> None:
    alone.process.send_signal(signal.SIGSTOP)
    send_memory_events(alone.pid, ENOUGH_TO_OVERFLOW)
    plug(tree, 0)
    alone.process.send_signal(signal.SIGCONT)
    client.wait_for(MAP_CHANGED)
    assert "Memory events were lost" in alone.stderr
    lost = alone.stderr.count("Memory events were lost")
    plug(tree, 1)
    send_memory_events(alone.pid, 1)
    client.wait_for(MAP_CHANGED, 2)
    wait_until(lambda: "Memory event online of memory0" in alone.stderr, "the last event")
    assert alone.stderr.count("Memory events were lost") == lost == 1
