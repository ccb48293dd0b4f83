# SPDX-License-Identifier: LGPL-2.1-or-later
"""The Debian package in a guest, and two units that look at it as what loads a kernel would."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from tests.lab.environment import console_log
from tests.lab.guest import Guest
from tests.lab.image import get_image
from tests.lab.lock import locked

from .machines import INSTALLED_UNDER, Machine
from .service import MANAGER, NAME, PATHS, UNIT, bus_journal, show

LOADER = "kexec-load.service"
"""kexec-tools' own name for what loads a kernel, at start or, as it does, at stop."""

EARLY = "early.service"
"""The same, but ordered before the daemon: what it finds shows that a look tells the two apart."""

FOUND = "/var/lib/looks"
"""What they found: `NAME.start` and `NAME.stop`, and what was cached beside it, `*.image`."""

_LOOK = f"""#!/bin/sh
# Neither may start the daemon.
busctl --auto-start=no --json=short call {NAME} {PATHS[MANAGER]} {MANAGER} Describe \\
    >{FOUND}/$1 2>&1
cat /run/kexecprepd/setup_data >{FOUND}/$1.image 2>&1
exit 0
"""

_UNIT = """[Unit]
Description=What Might Load a Kernel
ConditionKernelCommandLine=lookouts=on
{order}

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/local/sbin/look {name}.start
ExecStop=/usr/local/sbin/look {name}.stop

[Install]
WantedBy=multi-user.target
"""

_ORDERS = {LOADER: "", EARLY: f"Before={UNIT}\nAfter=dbus.socket"}


def install_package(guest: Guest, deb: Path) -> None:
    """Do what an administrator does, and no more: the package has to do the rest."""
    path = f"/tmp/{deb.name}"
    guest.write_file(path, deb.read_bytes())
    guest.run(["dpkg", "--install", path], timeout=900)


def put_lookouts(guest: Guest) -> None:
    """Have both units look at every boot that is to have them, and at the next shutdown."""
    guest.write_file("/usr/local/sbin/look", _LOOK.encode(), mode=0o755)
    for name, order in _ORDERS.items():
        unit = _UNIT.format(name=name, order=order)
        guest.write_file(f"/etc/systemd/system/{name}", unit.encode())
    guest.run(["mkdir", FOUND])
    guest.run(["systemctl", "daemon-reload"])
    guest.run(["systemctl", "enable", "--quiet", "--now", *_ORDERS], timeout=900)


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
        """Keep the disks in a folder, where other processes find them too."""
        self._deb = deb
        self._folder = folder

    def of(self, suite: str) -> Installed:
        """The disk of a release."""
        disk, told = (self._folder / f"{suite}.{each}" for each in ("qcow2", "json"))
        with locked(self._folder / f"{suite}.lock"):
            if not told.exists():
                told.write_text(json.dumps(self._make(INSTALLED_UNDER[suite], disk)))
        return Installed(disk, json.loads(told.read_text()))

    def _make(self, machine: Machine, disk: Path) -> dict[str, str]:
        log = console_log(f"install-{machine}")
        with Guest(get_image(machine.suite), append=machine.append, log=log) as guest:
            install_package(guest, self._deb)
            unit = show(guest)
            put_lookouts(guest)
            guest.power_off(keep=disk)
        return unit


@dataclass(frozen=True)
class Boot:
    """What systemd and the bus told of a boot before anybody had called the daemon."""

    unit: dict[str, str]
    loader: dict[str, str]
    early: dict[str, str]
    target: dict[str, str]
    bus_journal: str

    @classmethod
    def of(cls, guest: Guest) -> Boot:
        """Ask them."""
        return cls(
            unit=show(guest, UNIT),
            loader=show(guest, LOADER),
            early=show(guest, EARLY),
            target=show(guest, "multi-user.target"),
            bus_journal=bus_journal(guest),
        )
