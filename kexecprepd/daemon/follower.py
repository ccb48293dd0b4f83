# SPDX-License-Identifier: LGPL-2.1-or-later
"""Keeps the present handover: takes over what is cached at start, then follows sysfs."""

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from ..core import generation
from ..core.finding import Severity, State, kinds
from ..core.generation import Handover
from ..core.receipt import Receipt, Unusable
from ..core.snapshot import Snapshot
from ..core.unreadable import Unreadable
from ..reading.clock import now
from ..reading.sysfs import read_snapshot
from ..wire.journal import Message
from . import cache
from .cache import Cached, CacheError
from .journal import about

log = logging.getLogger(__name__)

_LEVELS = {
    Severity.ERROR: logging.ERROR,
    Severity.WARNING: logging.WARNING,
    Severity.INFO: logging.INFO,
}


Subscriber = Callable[[Handover, tuple[str, ...]], None]
"""Called with a new handover, and with the names of the parts that differ from the one before."""


class Follower:
    """One handover at a time, and whoever wants to be told of the next."""

    def __init__(self, root: Path, boot_id: str, kept: Receipt | Unusable | None = None) -> None:
        """Read sysfs below `root`, and go on from the cache where it belongs to this boot.
        `kept` is what the kernel before had systemd keep.

        `missed` then names what changed since the cache was written, if anything did. `unread` is
        why the last reading said nothing, None where it did: then there should be another.
        """
        self._root = root
        self._kept = kept
        self._subscribers: list[Subscriber] = []
        reading = self._read()
        self.unread = _of_the_moment(reading)
        self._told_of_reading: list[Callable[[], object]] = []
        self.missed: tuple[str, ...] = ()
        self.handover = generation.first(reading, boot_id, now())
        self._origin = (logging.INFO, "There is no cache yet.")
        try:
            cached = cache.read(root)
        except CacheError as error:
            self._origin = (logging.WARNING, f"Discarded the cache: {error.reason}")
        else:
            if cached is not None:
                self._origin = self._go_on_from(cached)

    def _go_on_from(self, cached: Cached) -> tuple[int, str]:
        """Take over the count, and the time where nothing changed; what to log about it."""
        fresh = self.handover
        if cached.boot_id != fresh.boot_id:
            return logging.INFO, "Discarded the cache: it is of another boot"
        self.missed = generation.changed(cached.parts, fresh.parts)
        if self.missed:
            parts = ", ".join(self.missed)
            found = (logging.INFO, f"Discarded the cache: sysfs has changed since ({parts})")
        elif cached.mismatch is not None:
            found = (logging.WARNING, f"Discarded the cache: {cached.mismatch}")
        elif cached.sha256 != fresh.assessment.sha256:
            found = (logging.INFO, "Discarded the cache: its image is not what sysfs amounts to")
        elif cached.document.get("reason") != fresh.assessment.reason:
            found = (logging.INFO, "Discarded the cache: sysfs is judged otherwise now")
        else:
            self.handover = generation.numbered(fresh, cached.generation, cached.taken)
            return logging.INFO, f"Adopted the cache of generation {cached.generation}"
        self.handover = generation.numbered(fresh, cached.generation + 1, fresh.taken)
        return found

    def subscribe(self, subscriber: Subscriber) -> None:
        """Tell it of every handover from now on, after those that subscribed before it."""
        self._subscribers.append(subscriber)

    def after_reading(self, callback: Callable[[], object]) -> None:
        """Have it called after every reading from now on, when all subscribers have been told."""
        self._told_of_reading.append(callback)

    def begin(self) -> None:
        """Say what was found, to the journal and to the subscribers, with what was missed.

        Only the owner of the bus name may do that.
        """
        log.log(*self._origin)
        self._tell(self.missed)
        if self.unread is not None:
            log.warning("Sysfs is read again until that succeeds")

    def refresh(self) -> Handover | Unreadable:
        """Read everything again, and tell the subscribers where that says something new.

        What it returns is the present handover, or why there is nothing to judge that by: sysfs
        keeps changing, or something is short for the moment. The runtime map cannot change, and so
        the present one stays.
        """
        reading = self._read()
        self._note(_of_the_moment(reading))
        if self.unread is None:
            self._succeed(reading)
        for callback in self._told_of_reading:
            callback()
        return self.handover if self.unread is None else self.unread

    def _read(self) -> Snapshot | Unreadable:
        reading = read_snapshot(self._root)
        if self._kept is None or isinstance(reading, Unreadable):
            return reading
        return replace(reading, kept=self._kept)

    def _note(self, unread: Unreadable | None) -> None:
        """Say once that sysfs cannot be read for the moment, and why, and once that it can."""
        before, self.unread = self.unread, unread
        if unread is None and before is not None:
            log.info("Sysfs can be read again")
        elif unread is not None and unread != before:
            log.warning("%s; what was read before stays, and it is tried again", unread)

    def _succeed(self, reading: Snapshot | Unreadable) -> None:
        before, self.handover = self.handover, generation.succeed(self.handover, reading, now())
        if self.handover is not before:
            names = generation.changed(before.parts, self.handover.parts)
            log.info("Changed: %s", ", ".join(names) or "the way in which sysfs cannot be read")
            self._tell(names)

    def look(self) -> bool:
        """Refresh where nobody waits for the outcome; whether that found something new."""
        before = self.handover
        self.refresh()
        return self.handover is not before

    def _tell(self, names: tuple[str, ...]) -> None:
        _log_assessment(self.handover)
        for subscriber in self._subscribers:
            subscriber(self.handover, names)


def _of_the_moment(reading: Snapshot | Unreadable) -> Unreadable | None:
    """Why a reading says nothing of the tree, if it does not."""
    return reading if isinstance(reading, Unreadable) and reading.transient else None


def _log_assessment(current: Handover) -> None:
    assessment = current.assessment
    for kind in kinds(assessment.findings):
        if kind.first.message != assessment.reason:  # which is told below
            level = _LEVELS[kind.first.severity]
            log.log(level, "%s: %s %s", kind.first.code, kind.message, kind.first.hint)
    worst = logging.ERROR if assessment.state is State.INVALID else logging.INFO
    number, state = current.generation, assessment.state
    extra = about(Message.STATE, state=state, generation=number)
    log.log(worst, "Generation %d, %s: %s", number, state, assessment.reason, extra=extra)
