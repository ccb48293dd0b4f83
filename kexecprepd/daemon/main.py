# SPDX-License-Identifier: LGPL-2.1-or-later
"""The daemon's life: puts the parts together, runs the main loop, and ends in order."""

import gc
import logging
import signal
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from gi.repository import GLib

from ..core.keepsake import Keepsake, the_one
from ..core.origin import Origin, StartedBy
from ..core.receipt import Receipt, Unusable
from ..core.unreadable import Unreadable
from ..reading.clock import boot_id
from ..reading.kernel import read_origin
from ..wire.bus import Bus
from ..wire.connection import BusUnavailable
from ..wire.journal import Message
from ..wire.names import (
    BUS_NAME,
    LOG_CONTROL,
    LOG_CONTROL_PATH,
    MANAGER,
    MANAGER_PATH,
    interface_xml,
)
from . import cache, journal, keepsake
from .follower import Follower
from .manager import Manager
from .notify import Notifier, watchdog_interval
from .retry import Retry
from .timer import Timer
from .watcher import MemoryWatcher

log = logging.getLogger(__name__)


def run(root: Path, level: int) -> int:
    """Serve until SIGTERM or SIGINT (returns 0), or until that cannot be done (returns 1)."""
    found = keepsake.received()
    log_control = journal.set_up(root, level)
    stopped: list[int] = []
    try:
        daemon = Daemon(root, log_control, found, stopped)
    except BusUnavailable as error:
        if stopped:  # while it waited for the bus
            return 0
        log.error("%s", error.reason)
        return 1
    except OSError as error:
        log.error("The boot id cannot be read: %s", error)
        return 1
    return daemon.serve()


class Daemon:
    """Owns the main loop; everything happens in it, one thing after the other."""

    def __init__(
        self,
        root: Path,
        log_control: journal.LogControl,
        found: Sequence[Keepsake | Unusable],
        stopped: list[int],
    ) -> None:
        """`found` is what systemd kept; to `stopped` go signals that tell it to stop. Raises
        BusUnavailable without a bus or a free name, OSError without a boot id.
        """

        def stop(number: int, _frame: FrameType | None) -> None:
            stopped.append(number)
            _soon(self._loop.quit)

        self._loop = GLib.MainLoop()
        self._status = 0
        self._failed = False
        self._notifier = Notifier()
        self._bus = Bus()
        self._bus.on_lost(self._bus_lost)
        # Before the first reading, so that no change falls between the two.
        self._watcher = MemoryWatcher(lambda: self._follower.look())
        self._retry = Retry(lambda: self._follower.look(), Timer())
        boot = boot_id(root)
        one = the_one(found, boot)
        kept = one.for_boot(boot) if isinstance(one, Keepsake) else one
        self._follower = Follower(root, boot, kept)
        origin = read_origin(root, kept)
        before = kept if isinstance(kept, Receipt) else None
        self._keeper = keepsake.Keeper(self._notifier, found, before, Timer())
        manager = Manager(self._follower.handover, origin, self._follower.refresh)
        self._bus.export(MANAGER_PATH, interface_xml(MANAGER), manager)
        self._bus.export(LOG_CONTROL_PATH, interface_xml(LOG_CONTROL), log_control)
        # Before it has the name, and long before READY=1: who sees either may send one at once.
        signal.signal(signal.SIGHUP, lambda *_: _soon(self._reload))
        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        self._bus.own(BUS_NAME)
        # The cache first: a loader that hears of a handover finds it there.
        self._follower.subscribe(lambda handover, _: cache.keep(root, handover))
        self._follower.subscribe(manager.show)
        self._follower.subscribe(lambda handover, _: self._keeper.keep(handover, origin))
        # With the name comes the right to the cache: no second daemon gets this far.
        _log_origin(origin)
        findings_tell = None if self._follower.handover.snapshot is None else one
        _log_unusable(each for each in found if each is not findings_tell)
        self._follower.begin()
        # READY=1 tells systemd of this one.
        self._follower.subscribe(lambda *_: self._notifier.status(self._words()))
        self._follower.after_reading(self._follow_up)
        self._follow_up()

    def serve(self) -> int:
        """Run until told to stop; the process' exit status."""
        interval = watchdog_interval()
        if interval is not None:
            self._watchdog()
            GLib.timeout_add(int(interval * 1000), self._watchdog)
        self._notifier.ready(self._words())
        _collect_what_comes()
        self._loop.run()
        self._notifier.stopping()
        self._watcher.stop()
        self._retry.stop()
        self._keeper.stop()
        self._bus.close()
        return self._status

    def _follow_up(self) -> None:
        failed = self._follower.unread is not None
        self._retry.heard(failed=failed)
        if failed != self._failed:
            self._failed = failed
            self._notifier.status(self._words())

    def _words(self) -> str:
        reason, unread = self._follower.handover.assessment.reason, self._follower.unread
        # Where nothing was read before, the reason says it.
        if unread is None or self._follower.handover.snapshot is None:
            return reason
        return f"{reason} This was read before; sysfs cannot be read for the moment ({unread})."

    def _watchdog(self) -> bool:
        self._notifier.watchdog()
        return True

    def _bus_lost(self, reason: str) -> None:
        log.error("The connection to the bus is lost (%s)", reason)
        self._status = 1
        _soon(self._loop.quit)

    def _reload(self) -> None:
        self._notifier.reloading()
        before = self._follower.unread
        if not self._follower.look():
            self._tell_of_reload(before)
        self._notifier.ready(self._words())

    def _tell_of_reload(self, before: Unreadable | None) -> None:
        """What a reload without anything new comes to: who asked for it reads the journal."""
        handover, unread = self._follower.handover, self._follower.unread
        if unread is not None and unread != before:
            return  # it has been told
        if unread is not None:
            log.warning("Reading again has failed: %s What was read before stays.", unread.sentence)
        elif handover.snapshot is None:
            log.warning("Reading again has failed as before: %s", handover.assessment.reason)
        else:
            log.info("Read everything again: nothing has changed.")


def _log_origin(origin: Origin) -> None:
    receipt = origin.receipt
    if receipt is not None:
        count = "unknown" if origin.kexec_count is None else origin.kexec_count
        log.info(
            "Started by kexec, with %s of %s from boot %s; kexecs since power-on: %s",
            "what systemd kept" if receipt.kept else "a receipt",
            receipt.loader,
            receipt.from_boot_id,
            count,
            extra=journal.about(Message.RECEIPT, loader=receipt.loader, kexec_count=count),
        )
    elif origin.started_by is StartedBy.KEXEC:
        log.info("Started by kexec, without a receipt that can be used")


def _log_unusable(found: Iterable[Keepsake | Unusable]) -> None:
    for each in found:
        if isinstance(each, Unusable):
            log.info("What systemd kept for the daemon cannot be used: %s.", each.problem)


def _collect_what_comes() -> None:
    """Collect garbage from now on; what starting has made stays, and is not looked at again."""
    gc.freeze()
    gc.enable()


def _soon(callback: Any) -> None:
    """Have the main loop call it: a signal handler may run in the midst of anything."""

    def once() -> bool:
        callback()
        return False

    GLib.timeout_add(0, once)
