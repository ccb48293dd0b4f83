# SPDX-License-Identifier: LGPL-2.1-or-later
"""A daemon that hangs is replaced by systemd, and loses nothing."""

from __future__ import annotations

import pytest

from tests.lab.guest import Guest

from . import expected
from .machines import ONCE_EACH, on
from .service import (
    call,
    cursor_now,
    drop_in,
    properties,
    show,
    wait_for_log,
    wait_until_running,
)

# Two of the four: it takes its time, and the bus has nothing to do with it.
pytestmark = [pytest.mark.vm, on(ONCE_EACH)]

IMPATIENT = "[Service]\nWatchdogSec=5s\n"


def test_a_stopped_daemon_is_replaced(guest: Guest) -> None:
    before = properties(guest)
    with drop_in(guest, "watchdog", IMPATIENT):
        unit, start = show(guest), cursor_now(guest)
        assert unit["WatchdogUSec"] == "5s"
        guest.run(["kill", "-STOP", unit["MainPID"]])
        after = wait_until_running(guest, unit)
        assert after["MainPID"] != unit["MainPID"]
        log = wait_for_log(guest, "Failed with result 'watchdog'", start)
        assert "Watchdog timeout" in log
        assert properties(guest) == before
        assert bytes(call(guest, "GetSetupData")[0]) == expected.image(guest)
    assert show(guest)["WatchdogUSec"] == "3min"
