# SPDX-License-Identifier: LGPL-2.1-or-later
"""The package alone starts the service, at once and at every boot, before anything can kexec."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from tests.lab.guest import Guest

from . import expected
from .machines import COMBINATIONS, TESTING, on
from .project import EARLY, FOUND, LOADER, Boot, Installed
from .service import NAME, journal, properties, show

pytestmark = [pytest.mark.vm, on([*COMBINATIONS, TESTING])]


def found(guest: Guest, name: str) -> str:
    """What a unit was told when it looked."""
    return guest.read_file(f"{FOUND}/{name}").decode()


def described(answer: str) -> dict[str, Any]:
    """The properties in an answer of Describe()."""
    (text,) = json.loads(answer)["data"]
    told: dict[str, Any] = json.loads(text)
    return told


def test_the_package_alone_enables_and_starts_it(installed: Installed) -> None:
    unit = installed.unit
    assert (unit["UnitFileState"], unit["ActiveState"]) == ("enabled", "active")
    assert (unit["NRestarts"], unit["Result"]) == ("0", "success")
    assert unit["StatusText"].startswith("EFI can be handed over")


def test_the_boot_starts_it_and_not_a_call(boot: Boot) -> None:
    up, done = (int(each["ActiveEnterTimestampMonotonic"]) for each in (boot.unit, boot.target))
    assert 0 < up <= done
    # dbus-daemon logs whatever it has systemd start; nothing that looked so far lets it.
    assert NAME not in boot.bus_journal


def test_it_owns_its_name_at_the_first_try(guest: Guest, boot: Boot) -> None:
    bus = "org.freedesktop.DBus"
    ask_bus = ["busctl", "--json=short", "call", bus, "/org/freedesktop/DBus", bus]
    owner = json.loads(guest.run([*ask_bus, "GetConnectionUnixProcessID", "s", NAME]).stdout)
    assert owner["data"] == [int(show(guest)["MainPID"])]
    assert (boot.unit["NRestarts"], boot.unit["Result"]) == ("0", "success"), journal(guest)


def test_it_is_up_before_a_loader_starts(guest: Guest, boot: Boot) -> None:
    up = int(boot.unit["ActiveEnterTimestampMonotonic"])
    assert 0 < up <= int(boot.loader["ExecMainStartTimestampMonotonic"])
    then = described(found(guest, f"{LOADER}.start"))
    assert (then["State"], then["BootID"]) == ("ready", properties(guest)["BootID"])
    assert guest.read_file(f"{FOUND}/{LOADER}.start.image") == expected.image(guest)


def test_what_starts_earlier_finds_nobody(guest: Guest, boot: Boot) -> None:
    up = int(boot.unit["ActiveEnterTimestampMonotonic"])
    assert 0 < int(boot.early["ExecMainStartTimestampMonotonic"]) < up
    assert found(guest, f"{EARLY}.start").startswith("Call failed: ")
    assert "No such file" in found(guest, f"{EARLY}.start.image")


def test_it_is_still_up_when_a_loader_runs_at_shutdown(guest: Guest) -> None:
    # As kexec-tools' kexec-load does, which loads the next kernel when it is stopped.
    then = described(found(guest, f"{LOADER}.stop"))
    assert then["State"] == "ready"
    assert then["BootID"] != properties(guest)["BootID"]
    image = guest.read_file(f"{FOUND}/{LOADER}.stop.image")
    assert hashlib.sha256(image).hexdigest() == then["Sha256"]


def test_a_new_boot_starts_without_a_cache(guest: Guest) -> None:
    boot_id = guest.read_file("/proc/sys/kernel/random/boot_id").decode().strip()
    assert properties(guest)["BootID"] == boot_id
    first = journal(guest).index("There is no cache yet")
    assert first < journal(guest).index("Generation 1, ready")
