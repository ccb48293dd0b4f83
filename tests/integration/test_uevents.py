# SPDX-License-Identifier: LGPL-2.1-or-later
"""Memory hotplug: the kernel's events, as umockdev brings them, end in a reading."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.daemon import Daemon, running
from tests.support.private_bus import PrivateBus

from .client import Client, wait_until
from .hotplug import MAP_CHANGED, plug
from .readings import passes_over
from .testbed import WRAPPER, Testbed, running_testbed

pytestmark = pytest.mark.bus


@pytest.fixture
def memory() -> Iterator[Testbed]:
    """Memory that can be plugged in."""
    with running_testbed() as testbed:
        yield testbed


@pytest.fixture(autouse=True)
def watching(memory: Testbed, bus: PrivateBus, top: Path, tree: Path) -> Iterator[Daemon]:
    """The daemon, which gets the testbed's events for udev's and logs each."""
    environment = {**bus.environment, "UMOCKDEV_DIR": memory.directory}
    with running(top, tree, environment, wrapper=[WRAPPER], arguments=["--debug"]) as daemon:
        yield daemon


def test_plugged_memory_is_noticed(memory: Testbed, client: Client, tree: Path) -> None:
    plug(tree)
    memory.plug()
    assert client.wait_for(MAP_CHANGED) == [(2, client.get("Sha256"), ["memmap"])]


def test_events_without_a_change_are_silent(memory: Testbed, client: Client, tree: Path) -> None:
    with passes_over(tree) as passes:
        for _ in range(5):
            memory.plug()
        wait_until(lambda: passes.count >= 2, "a reading")
    assert client.settle() == []
    assert client.get("Generation") == 1


def test_an_entry_that_comes_after_its_event_is_noticed(
    memory: Testbed, client: Client, tree: Path
) -> None:
    with passes_over(tree) as passes:
        memory.plug()
        wait_until(lambda: passes.count >= 2, "the reading that comes too early")
        client.settle()
    plug(tree)
    assert client.wait_for(MAP_CHANGED) == [(2, client.get("Sha256"), ["memmap"])]


def test_other_devices_are_none_of_its_business(memory: Testbed, watching: Daemon) -> None:
    memory.plug("block")
    other = memory.last
    wait_until(lambda: "and none of memory" in watching.stderr, "the other event is passed over")
    assert other not in watching.stderr
    assert "read again" not in watching.stderr


def test_memory_is_noticed_among_others(memory: Testbed, watching: Daemon) -> None:
    for subsystem in ("block", "memory", "block"):
        memory.plug(subsystem)
    wait_until(lambda: "read again" in watching.stderr, "the event of memory is heard")
