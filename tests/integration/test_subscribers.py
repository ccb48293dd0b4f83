# SPDX-License-Identifier: LGPL-2.1-or-later
"""More subscribers than a bus has room for by default: each hears of every change, in order."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.daemon import CHECKOUT, Daemon
from tests.support.lines import Lines
from tests.support.private_bus import SHIPPED_POLICY, PrivateBus, private_bus

from .client import Client
from .hotplug import plug

pytestmark = pytest.mark.bus

PROCESSES = 4
CONNECTIONS = 250
"""Of each process."""

CHANGES = 3

# Debian's buses let a user have 256 connections.
_ROOM = f"<limit name='max_connections_per_user'>{2 * PROCESSES * CONNECTIONS}</limit>"


@pytest.fixture
def bus(top: Path) -> Iterator[PrivateBus]:
    """The shipped policy, and room for all of them."""
    with private_bus(top, f"{SHIPPED_POLICY}{_ROOM}") as bus:
        yield bus


class Crowd:
    """Connections of one process, all of which have subscribed."""

    def __init__(self, stack: ExitStack, bus: PrivateBus) -> None:
        self._process = stack.enter_context(
            subprocess.Popen(
                [sys.executable, "-m", "tests.integration.crowd", str(CONNECTIONS), str(CHANGES)],
                stdout=subprocess.PIPE,
                bufsize=0,
                cwd=CHECKOUT,
                env=bus.environment,
            )
        )
        stack.callback(self._process.kill)
        assert self._process.stdout is not None
        self._lines = Lines(self._process.stdout)

    def subscribed(self) -> bool:
        """Waits for that."""
        return self._lines.next() == "subscribed\n"

    def heard(self) -> list[list[int]]:
        """What generations each connection was told, once all were told of enough."""
        each: list[list[int]] = json.loads(self._lines.next())
        return each


def test_each_of_a_thousand_hears_of_every_change_once_and_in_order(
    bus: PrivateBus, daemon: Daemon, client: Client, tree: Path
) -> None:
    with ExitStack() as stack:
        crowds = [Crowd(stack, bus) for _ in range(PROCESSES)]
        assert all(crowd.subscribed() for crowd in crowds)
        told = []
        for number in range(CHANGES):
            plug(tree, number)
            told.append(client.call("Refresh"))

        assert len(set(told)) == CHANGES
        for crowd in crowds:
            assert crowd.heard() == [told] * CONNECTIONS
