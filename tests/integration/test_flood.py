# SPDX-License-Identifier: LGPL-2.1-or-later
"""More calls than can be answered: they stay with the bus, and fill nobody's memory."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kexecprepd.wire.names import BUS_NAME, MANAGER, MANAGER_PATH
from tests.support import flooder
from tests.support.daemon import Daemon
from tests.support.private_bus import PrivateBus

from .client import Client
from .unprivileged import SETPRIV

pytestmark = pytest.mark.bus

CALLS = 10_000
"""They are 12 MB where GDBus has queued all of them."""

MOST_BYTES = 8_000_000

Flood = Callable[[str], None]


@pytest.fixture
def flood(bus: PrivateBus, daemon: Daemon, top: Path) -> Flood:
    """Calls with replies of that kind; all of them are with the bus when the daemon goes on."""
    program = shutil.copy(flooder.__file__, top)
    where = (BUS_NAME, MANAGER_PATH, MANAGER)

    def send(replies: str) -> None:
        command = [*SETPRIV, sys.executable, program, str(CALLS), "4", replies, *where]
        os.kill(daemon.pid, signal.SIGSTOP)
        subprocess.run(command, check=True, cwd="/", env=bus.environment, stdout=subprocess.DEVNULL)

    return send


@pytest.mark.parametrize("replies", ["unwanted", "unread"])
def test_calls_that_come_faster_than_they_are_answered_fill_no_memory(
    daemon: Daemon, client: Client, flood: Flood, replies: str
) -> None:
    client.call("GetSetupData")
    before = daemon.peak_bytes()
    flood(replies)
    call = client.begin("GetSetupData")
    os.kill(daemon.pid, signal.SIGCONT)

    assert call.reply()
    assert daemon.peak_bytes() - before < MOST_BYTES


@pytest.mark.parametrize("_time", range(8))
def test_a_daemon_that_is_told_to_stop_in_the_midst_of_calls_stops_well(
    daemon: Daemon, flood: Flood, _time: int
) -> None:
    flood("unwanted")
    daemon.process.send_signal(signal.SIGTERM)
    os.kill(daemon.pid, signal.SIGCONT)

    assert daemon.wait() == 0
