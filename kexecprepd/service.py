# SPDX-License-Identifier: LGPL-2.1-or-later
"""Keeps the present handover: takes over what is cached at start, then follows sysfs."""

import logging
from collections.abc import Callable
from pathlib import Path

from . import cache, handover
from .boot import now
from .cache import Cached, CacheError
from .findings import Severity, State
from .handover import Handover
from .model import Snapshot
from .sysfs import ReadError, UnstableError, read_snapshot

log = logging.getLogger(__name__)

_LEVELS = {
    Severity.ERROR: logging.ERROR,
    Severity.WARNING: logging.WARNING,
    Severity.INFO: logging.INFO,
}


class Service:
    """One handover at a time, on disk and in memory. Nothing in it knows of D-Bus."""

    def __init__(self, root: Path, boot_id: str) -> None:
        """Read sysfs below `root`, and go on from the cache where it belongs to this boot.

        `missed` then names what changed since the cache was written, if anything did.
        """
        self._root = root
        reading = _read(root)
        cached = _read_cache(root)
        self.missed: tuple[str, ...] = ()
        self.handover = handover.first(reading, boot_id, now())
        if cached is not None:
            self._go_on_from(cached)
        _log_assessment(self.handover)
        self.unsettled = isinstance(reading, UnstableError)

    def _go_on_from(self, cached: Cached) -> None:
        fresh = self.handover
        if cached.boot_id != fresh.boot_id:
            log.info("Discarded the cache: it is of another boot")
            return
        self.missed = handover.changed(cached.parts, fresh.parts)
        if self.missed:
            log.info("Discarded the cache: sysfs has changed since (%s)", ", ".join(self.missed))
        elif cached.mismatch is not None:
            log.warning("Discarded the cache: %s", cached.mismatch)
        elif cached.sha256 != fresh.assessment.sha256:
            log.info("Discarded the cache: its image is not what sysfs amounts to now")
        else:
            log.info("Adopted the cache of generation %d", cached.generation)
            self.handover = handover.numbered(fresh, cached.generation, cached.taken)
            return
        self.handover = handover.numbered(fresh, cached.generation + 1, fresh.taken)

    def store(self) -> None:
        """Write the cache. A failure is logged and no more: the bus still serves."""
        try:
            cache.write(self._root, self.handover)
        except CacheError as error:
            log.error("The cache cannot be written, so late shutdown has none: %s", error)

    def refresh(self, changed: Callable[[tuple[str, ...]], None]) -> bool:
        """Read everything again; call `changed` and return True where that says something new.

        Raises UnstableError where sysfs keeps changing: the present handover then stays.
        """
        reading = _read(self._root)
        if isinstance(reading, UnstableError):
            raise reading
        before, self.handover = self.handover, handover.succeed(self.handover, reading, now())
        if self.handover is before:
            return False
        names = handover.changed(before.parts, self.handover.parts)
        log.info("Changed: %s", ", ".join(names) or "the way in which sysfs cannot be read")
        _log_assessment(self.handover)
        self.store()
        changed(names)
        return True


def _read(root: Path) -> Snapshot | ReadError:
    try:
        return read_snapshot(root)
    except ReadError as error:
        return error


def _read_cache(root: Path) -> Cached | None:
    try:
        cached = cache.read(root)
    except CacheError as error:
        log.warning("Discarded the cache: %s", error)
        return None
    if cached is None:
        log.info("There is no cache yet")
    return cached


def _log_assessment(current: Handover) -> None:
    assessment = current.assessment
    for finding in assessment.findings:
        if assessment.state is not State.UNSUPPORTED:  # there the reason says it all
            level = _LEVELS[finding.severity]
            log.log(level, "%s: %s %s", finding.code, finding.message, finding.hint)
    worst = logging.ERROR if assessment.state is State.INVALID else logging.INFO
    log.log(worst, "Generation %d, %s: %s", current.generation, assessment.state, assessment.reason)
