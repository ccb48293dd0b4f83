# SPDX-License-Identifier: LGPL-2.1-or-later
"""More calls than can be answered: they stay with the bus, and fill nobody's memory."""

import os
import shutil
import signal
import subprocess
import sys
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


@pytest.mark.parametrize("replies", ["unwanted", "unread"])
def test_calls_that_come_faster_than_they_are_answered_fill_no_memory(
    bus: PrivateBus, daemon: Daemon, client: Client, top: Path, replies: str
) -> None:
    program = shutil.copy(flooder.__file__, top)
    where = (BUS_NAME, MANAGER_PATH, MANAGER)
    command = [*SETPRIV, sys.executable, program, str(CALLS), "4", replies, *where]
    client.call("GetSetupData")
    before = daemon.peak_bytes()
    # All of them are there when it goes on.
    os.kill(daemon.pid, signal.SIGSTOP)
    subprocess.run(command, check=True, cwd="/", env=bus.environment, stdout=subprocess.DEVNULL)
    call = client.begin("GetSetupData")
    os.kill(daemon.pid, signal.SIGCONT)

    assert call.reply()
    assert daemon.peak_bytes() - before < MOST_BYTES
