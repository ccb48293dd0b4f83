# SPDX-License-Identifier: LGPL-2.1-or-later
"""Fixtures: a guest with the package in it, for one machine after the other."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.lab.guest import Guest
from tests.lab.image import get_image

from .machines import ALL, INSTALLED_UNDER, Machine
from .project import Boot, install_package, put_lookouts
from .service import show


def console_log(name: str) -> Path | None:
    """Return where to keep a guest's console output: in $KEXECPREPD_VM_LOGS, if that is set."""
    folder = os.environ.get("KEXECPREPD_VM_LOGS")
    if not folder:
        return None
    Path(folder).mkdir(parents=True, exist_ok=True)
    return Path(folder).absolute() / f"{name}.log"


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have each machine boot once, and stop before the next one does.

    A test with a guest of its own comes before all of them.
    """
    items.sort(key=_turn)


def _turn(item: pytest.Item) -> tuple[bool, int, str]:
    here = Path(__file__).parent in item.path.parents
    machine = item.callspec.params.get("machine") if hasattr(item, "callspec") else None
    if not isinstance(machine, Machine):
        return here, -1, ""
    return here, ALL.index(machine), item.path.name


@dataclass(frozen=True)
class Installed:
    """A release's disk with the package in it.

    `unit` is what systemd told when dpkg had just finished, and nobody had called the daemon.
    """

    disk: Path
    unit: dict[str, str]


class Installations:
    """Each release's disk, made when it is first asked for, and used by all its machines."""

    def __init__(self, deb: Path, folder: Path) -> None:
        """Keep the disks in a folder."""
        self._deb = deb
        self._folder = folder
        self._made: dict[str, Installed] = {}

    def of(self, suite: str) -> Installed:
        """The disk of a release."""
        if suite not in self._made:
            self._made[suite] = self._make(INSTALLED_UNDER[suite])
        return self._made[suite]

    def _make(self, machine: Machine) -> Installed:
        disk = self._folder / f"{machine.suite}.qcow2"
        log = console_log(f"install-{machine}")
        with Guest(get_image(machine.suite), append=machine.append, log=log) as guest:
            install_package(guest, self._deb)
            unit = show(guest)
            put_lookouts(guest)
            guest.power_off(keep=disk)
        return Installed(disk, unit)


@pytest.fixture(scope="session")
def installations(deb: Path, tmp_path_factory: pytest.TempPathFactory) -> Installations:
    """What each machine starts from."""
    return Installations(deb, tmp_path_factory.mktemp("disks"))


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
