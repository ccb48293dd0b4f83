# SPDX-License-Identifier: LGPL-2.1-or-later
"""Has systemd keep what this kernel knows, and takes back what it kept: of an earlier run of the
daemon or, where systemd carried it over a kexec, of the kernel before.

Sources: sd_listen_fds(3), FileDescriptorStoreMax= and FileDescriptorStorePreserve= in
systemd.service(5), and docs/FILE_DESCRIPTOR_STORE.md of systemd.
"""

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import suppress

from .. import __version__
from ..core.generation import Handover
from ..core.keepsake import LIMIT, Keepsake, parse
from ..core.origin import Origin
from ..core.receipt import Receipt, Unusable
from . import memfd
from .notify import Notifier

NAME = "kexecprepd-handover"
"""What systemd calls it; the file's own name does not come over a kexec."""

_FIRST = 3
"""SD_LISTEN_FDS_START."""

log = logging.getLogger(__name__)


def received() -> Keepsake | Unusable | None:
    """What systemd kept by our name, the latest of several; None where it kept nothing.

    For the start of the process: what systemd has passed is closed, whatever it is.
    """
    found = [_parsed(fd) for fd in _passed()]
    usable = [each for each in found if isinstance(each, Keepsake)]
    if usable:
        return max(usable, key=lambda each: each.own.loaded_at)
    return found[0] if found else None


def _passed() -> Iterator[int]:
    """The descriptors of our name, each open until the next one is asked for."""
    count = os.environ.get("LISTEN_FDS", "")
    if os.environ.get("LISTEN_PID") != str(os.getpid()) or not count.isdecimal():
        return
    names = os.environ.get("LISTEN_FDNAMES", "").split(":")
    for fd, name in enumerate(names[: int(count)], _FIRST):
        if name == NAME:
            yield fd
        with suppress(OSError):
            os.close(fd)


def _parsed(fd: int) -> Keepsake | Unusable:
    try:
        if fcntl.fcntl(fd, fcntl.F_GET_SEALS) & memfd.SEALS != memfd.SEALS:
            return Unusable("it is not sealed")
        # Its size came over the kexec, and so did its position, which is the writer's.
        fits = os.fstat(fd).st_size <= LIMIT
        return parse(os.pread(fd, LIMIT, 0) if fits else None)
    except OSError as error:
        return Unusable(f"it is no file of memory that can be read ({error.strerror})")


class Keeper:
    """Has systemd keep each handover in place of the one before."""

    def __init__(
        self, notifier: Notifier, found: Keepsake | Unusable | None, before: Receipt | None
    ) -> None:
        """`found` is what systemd keeps now, `before` what the kernel before this one had left."""
        self._notifier = notifier
        self._before = before
        self._kept = found.pack() if isinstance(found, Keepsake) else b""

    def keep(self, handover: Handover, origin: Origin) -> None:
        """Have it kept, if it is not already; without a store nothing is done."""
        if not self._notifier.has_store:
            return
        payload = Keepsake(_receipt(handover, origin), self._before).pack()
        if payload == self._kept:
            return
        try:
            fd = memfd.sealed(NAME, payload)
        except OSError as error:
            log.warning("systemd is given nothing to keep over a kexec: %s", error.strerror)
            return
        try:
            if self._notifier.store(NAME, fd):
                self._kept = payload
        finally:
            os.close(fd)


def _receipt(handover: Handover, origin: Origin) -> Receipt:
    """What there is to hand over, and how many kexecs there will have been in the next kernel.

    What the firmware gave this kernel is not said: the sandbox hides most of it.
    """
    assessment, snapshot = handover.assessment, handover.snapshot
    has_image = snapshot is not None and assessment.image is not None
    return Receipt(
        from_boot_id=handover.boot_id,
        sha256=assessment.sha256,
        region_count=len(snapshot.runtime_regions) if snapshot and has_image else 0,
        loader=f"kexecprepd {__version__}",
        loaded_at=handover.taken.realtime,
        kexec_count=origin.next_count,
        generation=handover.generation,
        kept=True,
    )
