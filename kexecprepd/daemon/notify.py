# SPDX-License-Identifier: LGPL-2.1-or-later
"""Tells systemd how the service is doing. Source: sd_notify(3), sd_watchdog_enabled(3)."""

import logging
import os
import socket
import time
from collections.abc import Sequence

from sdnotify import SystemdNotifier

_PATIENCE_SECONDS = 5

log = logging.getLogger(__name__)


class Notifier:
    """Sends states to NOTIFY_SOCKET; without one, nothing is sent.

    sdnotify takes Latin-1 alone and swallows every error unless its debug mode is on: here that
    mode is on, errors are logged, and texts are made plain.
    """

    def __init__(self) -> None:
        self._notifier: SystemdNotifier | None = None
        if not os.environ.get("NOTIFY_SOCKET"):
            return
        try:
            self._notifier = SystemdNotifier(debug=True)
        except OSError as error:
            log.warning("NOTIFY_SOCKET cannot be reached (%s): systemd is told nothing", error)
            return
        # A stuck receiver must not stop the main loop, and so the bus.
        self._notifier.socket.settimeout(_PATIENCE_SECONDS)

    def ready(self, status: str) -> None:
        """The service is up, or done with reloading."""
        self._send("READY=1", _status(status))

    def status(self, status: str) -> None:
        """One line for `systemctl status`."""
        self._send(_status(status))

    def reloading(self) -> None:
        """A reload has begun; `ready` ends it."""
        # systemd tells by the time which reload it is that READY=1 ends.
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """The service is on its way out."""
        self._send("STOPPING=1", "STATUS=Stopping.")

    def watchdog(self) -> None:
        """The service is alive."""
        self._send("WATCHDOG=1")

    @property
    def has_store(self) -> bool:
        """Whether systemd keeps files for the service, and says so (254 and later)."""
        return self._notifier is not None and bool(os.environ.get("FDSTORE"))

    def store(self, name: str, fd: int) -> bool:
        """Have systemd keep an open file, in place of all that it keeps by that name; False where
        it could not be told, which is logged: then it keeps what it had, or nothing.
        """
        name = f"FDNAME={name}"
        removed = self._send("FDSTOREREMOVE=1", name)
        return removed and self._send("FDSTORE=1", name, fds=[fd])

    def _send(self, *lines: str, fds: Sequence[int] = ()) -> bool:
        if self._notifier is None:
            return False
        text = "\n".join(lines)
        try:
            if fds:  # sdnotify sends text alone
                socket.send_fds(self._notifier.socket, [text.encode("ascii")], list(fds))
            else:
                self._notifier.notify(text)
        except OSError as error:
            log.warning("systemd could not be told %s: %s", lines[0], error)
            return False
        return True


def _status(text: str) -> str:
    one_line = " ".join(text.split())
    return "STATUS=" + one_line.encode("ascii", "replace").decode()


def watchdog_interval() -> float | None:
    """Seconds between two signs of life, half of what systemd waits; None where it does not."""
    usec, pid = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID", "")
    if pid and pid != str(os.getpid()):
        return None  # meant for the process that started us
    if not usec:
        return None
    if not usec.isdecimal() or int(usec) == 0:
        log.warning("WATCHDOG_USEC is no number of microseconds: no watchdog")
        return None
    return int(usec) / 2 / 1_000_000
