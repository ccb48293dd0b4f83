# SPDX-License-Identifier: LGPL-2.1-or-later
"""Commands that run in the guest."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Sequence

from .channel import Agent, Deadline, GuestError


class CommandError(GuestError):
    """A command in the guest ended with a status other than 0."""

    def __init__(self, done: subprocess.CompletedProcess[bytes]) -> None:
        """Keep what the command left, and quote the end of it."""
        super().__init__(
            f"in the guest {done.args} ended with status {done.returncode}:\n"
            f"{tail(done.stdout)}{tail(done.stderr)}"
        )
        self.returncode = done.returncode
        self.stdout: bytes = done.stdout
        self.stderr: bytes = done.stderr


class GuestProcess:
    """A command that runs in the guest while the test goes on."""

    def __init__(self, agent: Agent, argv: Sequence[str], data: bytes | None) -> None:
        """Start it."""
        self.argv = list(argv)
        self._agent = agent
        self._result: subprocess.CompletedProcess[bytes] | None = None
        self.pid = agent.start(self.argv, data)

    def poll(self) -> subprocess.CompletedProcess[bytes] | None:
        """Return the result once it has ended; only then is there any output."""
        if self._result is None and (status := self._agent.status(self.pid)) is not None:
            self._result = subprocess.CompletedProcess(self.argv, *status)
        return self._result

    def wait(self, timeout: float) -> subprocess.CompletedProcess[bytes]:
        """Return the result; kill the command when it takes longer than the timeout."""
        deadline = Deadline(timeout)
        pause = 0.005
        while (result := self.poll()) is None:
            if deadline.passed():
                self.signal("KILL")
                raise GuestError(f"in the guest {self.argv} did not end within {timeout:g} s")
            time.sleep(pause)
            pause = min(2 * pause, 0.2)
        return result

    def signal(self, name: str) -> None:
        """Send a signal to the process."""
        GuestProcess(self._agent, ["kill", "-s", name, str(self.pid)], None).wait(30)


def tail(data: bytes, lines: int = 40) -> str:
    """Return the last lines of some output."""
    return "".join(f"{line}\n" for line in data.decode(errors="replace").splitlines()[-lines:])
