# SPDX-License-Identifier: LGPL-2.1-or-later
"""Fixtures: a guest with the package in it, for one machine after the other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.environment import console_log
from tests.lab.guest import Guest
from tests.lab.image import get_image

from .machines import ALL, Machine
from .project import Boot, Installations, Installed


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have each machine boot once, and stop before the next one does.

    Its tests run in the order in which they are written. A test with a guest of its own comes
    before all of them.
    """
    items.sort(key=_turn)


def _turn(item: pytest.Item) -> tuple[bool, int, str, int]:
    here = Path(__file__).parent in item.path.parents
    machine = item.callspec.params.get("machine") if hasattr(item, "callspec") else None
    if not isinstance(machine, Machine):
        return here, -1, "", 0
    return here, ALL.index(machine), item.path.name, item.location[1] or 0


@pytest.fixture(scope="session")
def installations(deb: Path, shared: Path) -> Installations:
    """What each machine starts from."""
    return Installations(deb, shared)


@pytest.fixture(scope="module", params=("bookworm", "trixie"))
def release(request: pytest.FixtureRequest) -> str:
    """The Debian release that a module's own guest has, each once."""
    chosen: str = request.param
    return chosen


@pytest.fixture(scope="session")
def machine(request: pytest.FixtureRequest) -> Machine:
    """What the test runs on: `machines.on` says it."""
    chosen: Machine = request.param
    return chosen


@pytest.fixture(scope="session")
def installed(machine: Machine, installations: Installations) -> Installed:
    """The disk that the machine starts from."""
    return installations.of(machine.suite)


@pytest.fixture(scope="session")
def started(machine: Machine, installed: Installed) -> Iterator[tuple[Guest, Boot]]:
    """The guest, and what was to be seen of its boot before anything else happened in it."""
    with Guest(
        get_image(machine.suite),
        disk=installed.disk,
        firmware=machine.firmware,
        append=machine.append,
        qemu_args=machine.qemu_args,
        log=console_log(str(machine)),
    ) as running:
        yield running, Boot.of(running)


@pytest.fixture(scope="session")
def guest(started: tuple[Guest, Boot]) -> Guest:
    """A guest with the package, which its boot has started."""
    return started[0]


@pytest.fixture(scope="session")
def boot(started: tuple[Guest, Boot]) -> Boot:
    """What its boot was like."""
    return started[1]
