# SPDX-License-Identifier: LGPL-2.1-or-later
"""The real daemon as a process, started and told apart as systemd would."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from .notify_socket import DEADLINE, NotifySocket, notify_socket

CHECKOUT = Path(__file__).parents[2]

_BUG = re.compile(r"Traceback|CRITICAL|Internal error|exception was never retrieved")


class Daemon:
    """A running kexecprepd; `stderr` is what it logged so far."""

    def __init__(
        self, process: subprocess.Popen[bytes], notify: NotifySocket, log: Path, root: Path
    ) -> None:
        self.process = process
        self.notify = notify
        self.root = root
        self._log = log

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def stderr(self) -> str:
        return self._log.read_text()

    @property
    def cache(self) -> Path:
        return self.root / "run/kexecprepd"

    def resident_bytes(self) -> int:
        """Memory of its own that it occupies."""
        pages = Path(f"/proc/{self.pid}/statm").read_text().split()
        return (int(pages[1]) - int(pages[2])) * os.sysconf("SC_PAGE_SIZE")

    def peak_bytes(self) -> int:
        """The most memory that it ever occupied."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) << 10

    def open_fds(self) -> int:
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def wait(self) -> int:
        """Its exit status, once it has ended by itself."""
        return self.process.wait(DEADLINE)

    def stop(self) -> int:
        """Have it end as systemd does; its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.wait()


@contextmanager
def started(
    directory: Path,
    root: Path,
    environment: Mapping[str, str],
    *,
    arguments: Sequence[str] = (),
    wrapper: Sequence[str] = (),
    python: Sequence[str] = (),
) -> Iterator[Daemon]:
    """Start the daemon without waiting for anything; its socket and log are in `directory`.

    Whatever happens it is gone after the block. Where the block succeeds, the log must be free
    of tracebacks and of GLib's criticals: no test has to look for them.
    """
    log = directory / "stderr"
    command = [*wrapper, sys.executable, *python, "-m", "kexecprepd", "--root", str(root)]
    with notify_socket(directory) as notify, log.open("wb") as stderr:
        process = subprocess.Popen(
            [*command, *arguments],
            cwd=CHECKOUT,
            env={"G_DEBUG": "fatal-criticals", **environment, "NOTIFY_SOCKET": str(notify.path)},
            stdin=subprocess.DEVNULL,
            stdout=stderr,
            stderr=stderr,
        )
        daemon = Daemon(process, notify, log, root)
        try:
            yield daemon
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
                process.wait()
    assert not _BUG.search(daemon.stderr), daemon.stderr


@contextmanager
def running(
    directory: Path,
    root: Path,
    environment: Mapping[str, str],
    *,
    arguments: Sequence[str] = (),
    wrapper: Sequence[str] = (),
    python: Sequence[str] = (),
) -> Iterator[Daemon]:
    """As `started`, and wait for READY=1; ended by SIGTERM where the block succeeds."""
    with started(
        directory, root, environment, arguments=arguments, wrapper=wrapper, python=python
    ) as daemon:
        try:
            daemon.notify.wait_for("READY=1")
        except TimeoutError as error:
            raise TimeoutError(f"{error}; it said: {daemon.stderr}") from error
        yield daemon
        if daemon.process.poll() is None:
            daemon.stop()


def run_to_end(directory: Path, root: Path, environment: Mapping[str, str]) -> tuple[int, Daemon]:
    """Run a daemon that is expected to end by itself: its exit status, and what it left."""
    with started(directory, root, environment) as daemon:
        status = daemon.wait()
        daemon.notify.drain()
        return status, daemon
