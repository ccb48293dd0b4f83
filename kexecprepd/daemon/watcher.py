# SPDX-License-Identifier: LGPL-2.1-or-later
"""Calls back once memory has been plugged or unplugged and that has settled.

The kernel's events are hints and no more: one comes for each block of memory, before the memory
map has its new entry (mm/memory_hotplug.c), and none is for the memory map itself. So a burst of
them ends in one call, and a lost one in a call as well.
"""

import logging
from collections.abc import Callable
from typing import Any

import pyudev
from gi.repository import GLib

from . import uevent_filter
from .timer import Timer

QUIET_MSEC = 500
"""A burst is over when nothing came for so long."""

LATEST_MSEC = 5_000
"""A burst that goes on is looked at all the same, so often."""

RECHECK_MSEC = 3_000
"""When to look again after a burst that changed nothing yet: the entry comes after the event."""

_BUFFER_BYTES = 1 << 20

log = logging.getLogger(__name__)


class MemoryWatcher:
    """Watches the `memory` events from the moment it is made, so before the first reading."""

    def __init__(self, settled: Callable[[], bool]) -> None:
        """`settled` looks at sysfs, and says whether it found a change."""
        self._settled = settled
        self._quiet = Timer()
        self._latest = Timer()
        self._recheck = Timer()
        self._monitor: Any = None
        self._source: int | None = None
        self._start()

    def look_again(self) -> None:
        """Have `settled` called as if an event had come."""
        self._quiet.start(QUIET_MSEC, self._look)
        if not self._latest.running:
            log.debug("Everything is read again once no more events come")
            self._latest.start(LATEST_MSEC, self._look)

    def stop(self) -> None:
        """Watch no longer."""
        for timer in (self._quiet, self._latest, self._recheck):
            timer.stop()
        if self._source is not None:
            GLib.source_remove(self._source)
        self._source = self._monitor = None

    def _start(self) -> None:
        try:
            # The kernel's own: udev's do not reach the unit's private network namespace, and
            # have nothing to add.
            monitor = pyudev.Monitor.from_netlink(pyudev.Context(), source="kernel")
            monitor.filter_by("memory")
            _enlarge_buffer(monitor)
            monitor.start()
            _drop_others(monitor)
        except OSError as error:
            log.warning(
                "Memory hotplug will not be noticed, as the kernel's events cannot be had (%s): "
                "call Refresh() after it",
                error.strerror,
            )
            return
        self._monitor = monitor
        conditions = GLib.IOCondition.IN | GLib.IOCondition.ERR | GLib.IOCondition.HUP
        self._source = GLib.io_add_watch(
            monitor.fileno(), GLib.PRIORITY_DEFAULT, conditions, self._wake
        )

    def _wake(self, _fd: int, condition: Any) -> bool:
        """Take every event that waits; pyudev's own GLib glue takes one for each wake-up."""
        try:
            if condition & (GLib.IOCondition.ERR | GLib.IOCondition.HUP):
                raise OSError("the socket reports an error")
            heard = False
            while (device := self._monitor.poll(timeout=0)) is not None:
                heard = True
                log.debug("Memory event %s of %s", device.action, device.sys_name)
        except OSError as error:
            # Most likely ENOBUFS: events were lost. The monitor is no good after that.
            log.info("Memory events were lost (%s): reading everything again", error)
            self._source = None  # by returning False
            self._start()
            self.look_again()
            return False
        if heard:
            self.look_again()
        else:  # where the kernel took no filter
            log.debug("There were events, and none of memory")
        return True

    def _look(self) -> None:
        self._quiet.stop()
        self._latest.stop()
        self._recheck.stop()
        if not self._settled():
            self._recheck.start(RECHECK_MSEC, self._settle_late)

    def _settle_late(self) -> None:
        self._settled()


def _enlarge_buffer(monitor: Any) -> None:
    # Booting a machine with terabytes brings tens of thousands of events at once.
    try:
        monitor.set_receive_buffer_size(_BUFFER_BYTES)
    except OSError as error:
        # It takes CAP_NET_ADMIN, which the service does not have: an overflow is survived.
        log.debug("The event buffer keeps its size: %s", error)


def _drop_others(monitor: Any) -> None:
    # After start(), which attaches libudev's own. What came in between is filtered in poll().
    try:
        uevent_filter.attach(monitor.fileno())
    except OSError as error:
        log.debug("The events of other devices wake the daemon as well: %s", error)
