# SPDX-License-Identifier: LGPL-2.1-or-later
"""What systemd does to the service, and what of it nobody notices."""

from __future__ import annotations

import pytest

from tests.lab.guest import Guest

from . import expected
from .machines import ONCE_EACH, on
from .service import (
    DROP_INS,
    NAME,
    UNIT,
    call,
    cursor_now,
    properties,
    show,
    take_away,
    wait_for,
    wait_for_log,
    wait_until_running,
)

pytestmark = [pytest.mark.vm, on(ONCE_EACH)]


def test_a_restart_adopts_the_cache(guest: Guest) -> None:
    before, start = properties(guest), cursor_now(guest)
    guest.run(["systemctl", "restart", UNIT])
    assert properties(guest) == before
    wait_for_log(guest, f"Adopted the cache of generation {before['Generation']}", start)


def test_a_reload_reads_again_and_ends_ready(guest: Guest) -> None:
    before, unit, start = properties(guest), show(guest), cursor_now(guest)
    guest.run(["systemctl", "reload", UNIT])
    wait_for_log(guest, "Read everything again: nothing has changed", start)
    wait_for(lambda: show(guest)["SubState"] == "running", "systemd knows that it has")
    assert properties(guest) == before
    after = show(guest)
    assert after["StatusText"] == before["Reason"]
    assert (after["MainPID"], after["NRestarts"]) == (unit["MainPID"], unit["NRestarts"])


def test_a_kill_loses_nothing(guest: Guest) -> None:
    before, unit, start = properties(guest), show(guest), cursor_now(guest)
    guest.run(["kill", "-KILL", unit["MainPID"]])
    assert wait_until_running(guest, unit)["MainPID"] != unit["MainPID"]
    # Time and generation too: that everything was read a second time is no change.
    assert properties(guest) == before
    assert bytes(call(guest, "GetSetupData")[0]) == expected.image(guest)
    assert guest.read_file("/run/kexecprepd/setup_data") == expected.image(guest)
    wait_for_log(guest, f"Adopted the cache of generation {before['Generation']}", start)


HOLD_NAME = f"""
from gi.repository import Gio, GLib

bus = Gio.bus_get_sync(Gio.BusType.SYSTEM)
arguments = GLib.Variant("(su)", ("{NAME}", 0))
bus.call_sync("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus",
              "RequestName", arguments, None, Gio.DBusCallFlags.NONE, -1, None)
GLib.MainLoop().run()
"""


def test_a_name_that_is_taken_for_a_while_is_taken_up_again(guest: Guest) -> None:
    before = properties(guest)
    guest.run(["systemctl", "stop", UNIT])
    holder = "holder.service"
    guest.run(["systemd-run", f"--unit={holder}", "python3", "-I", "-c", HOLD_NAME])
    owned = ["busctl", "call", "org.freedesktop.DBus", "/", "org.freedesktop.DBus"]
    owned += ["NameHasOwner", "s", NAME]
    wait_for(lambda: guest.run(owned).stdout == "b true\n", "the name is taken")
    # A machine that is slow starts it too seldom for a limit of five: here the second is too many.
    guest.write_file(f"{DROP_INS}/burst.conf", b"[Unit]\nStartLimitBurst=1\n")
    try:
        guest.run(["systemctl", "daemon-reload"])
        guest.run(["systemctl", "start", UNIT], check=False, timeout=900)
        wait_for(lambda: int(show(guest)["NRestarts"]) > 1, "it was started often", timeout=900)
        guest.run(["systemctl", "stop", holder])
        wait_for(lambda: show(guest)["ActiveState"] == "active", "it runs again", timeout=900)
    finally:
        take_away(guest, f"{DROP_INS}/burst.conf")
        guest.run(["systemctl", "daemon-reload"])
    assert properties(guest) == before


def test_starts_are_not_limited_and_at_least_a_second_apart(guest: Guest) -> None:
    command = ["systemctl", "show", "--value", "--property", "StartLimitIntervalUSec"]
    assert guest.run([*command, UNIT]).stdout == "0\n"
    command[-1] = "RestartUSec"
    assert guest.run([*command, UNIT]).stdout == "2s\n"


def test_the_log_level_follows_systemctl(guest: Guest) -> None:
    level = ["systemctl", "service-log-level", UNIT]
    for name in ("debug", "info"):
        guest.run([*level, name])
        assert guest.run(level).stdout == f"{name}\n"


def test_a_log_level_that_there_is_not_is_refused(guest: Guest) -> None:
    level = ["systemctl", "service-log-level", UNIT]
    refused = guest.run([*level, "shout"], check=False)
    assert (refused.returncode != 0, "shout" in refused.stderr) == (True, True)
    assert guest.run(level).stdout == "info\n"


def test_a_user_may_not_set_the_log_level(guest: Guest) -> None:
    command = ["systemctl", "service-log-level", UNIT, "debug"]
    refused = guest.run(command, user="tester", check=False)
    assert refused.returncode != 0
    assert guest.run(command[:-1]).stdout == "info\n"
