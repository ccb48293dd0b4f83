# SPDX-License-Identifier: LGPL-2.1-or-later
"""Memory blocks that umockdev plugs in: their events are what udev would have sent."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from tests.support.notify_socket import DEADLINE

WRAPPER = "umockdev-wrapper"

# A program of its own, as umockdev redirects all of /sys for the process that sends events.
_PROGRAM = """
import sys, gi
gi.require_version("UMockdev", "1.0")
from gi.repository import UMockdev

testbed = UMockdev.Testbed.new()
print(testbed.get_root_dir(), flush=True)
for line in sys.stdin:
    subsystem, name = line.split()
    path = testbed.add_device(subsystem, name, None, ["state", "online"], [])
    testbed.uevent(path, "online")
    print("sent", flush=True)
"""


class Testbed:
    """A made-up /sys and the sockets that stand for udev's; `directory` is for UMOCKDEV_DIR."""

    __test__ = False

    def __init__(self, questions: IO[str], answers: IO[str]) -> None:
        self._questions = questions
        self._answers = answers
        self._plugged = 0
        self.directory = answers.readline().strip()
        self.last = ""
        """The name of the device that was plugged last."""

    def plug(self, subsystem: str = "memory") -> None:
        """Make a new device, and send that it went online."""
        self.last = f"memory{self._plugged + 32}"
        self._plugged += 1
        self._questions.write(f"{subsystem} {self.last}\n")
        self._questions.flush()
        assert self._answers.readline() == "sent\n"


@contextmanager
def running_testbed() -> Iterator[Testbed]:
    """A testbed, there until the end of the block."""
    process = subprocess.Popen(
        [WRAPPER, sys.executable, "-c", _PROGRAM],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "G_DEBUG": "fatal-criticals"},
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield Testbed(process.stdin, process.stdout)
    finally:
        process.stdin.close()
        try:
            status = process.wait(DEADLINE)  # ended by itself, it takes its directory away
        finally:
            process.kill()
            process.wait()
            process.stdout.close()
    assert status == 0
