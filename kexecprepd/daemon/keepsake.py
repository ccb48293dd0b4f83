# SPDX-License-Identifier: LGPL-2.1-or-later
"""Has systemd keep what this kernel knows, and takes back what it kept: of an earlier run of the
daemon or, where systemd carried it over a kexec, of the kernel before.

Sources: sd_listen_fds(3), FileDescriptorStoreMax= and FileDescriptorStorePreserve= in
systemd.service(5), and docs/FILE_DESCRIPTOR_STORE.md of systemd.
"""

import fcntl
import logging
import os
from collections.abc import Sequence
from contextlib import suppress

from .. import __version__
from ..core.generation import Handover
from ..core.keepsake import LIMIT, Keepsake, parse
from ..core.origin import Origin
from ..core.receipt import Receipt, Unusable
from . import memfd
from .notify import Notifier
from .retry import Retry
from .timer import Timer

NAME = "kexecprepd-handover"
"""What systemd calls it; the file's own name does not come over a kexec."""

_FIRST = 3
"""SD_LISTEN_FDS_START."""

_MOST_DIGITS = 5
"""Of LISTEN_FDS: the store is bounded by the service's own limit of descriptors."""

log = logging.getLogger(__name__)


def received() -> tuple[Keepsake | Unusable, ...]:
    """All that systemd kept by our name.

    What systemd has passed is closed, whatever it is: for the very start of the process, before
    anything of ours could have got one of these descriptors.
    """
    count = os.environ.get("LISTEN_FDS", "")
    ours = os.environ.get("LISTEN_PID") == str(os.getpid())
    if not ours or not count.isdecimal() or len(count) > _MOST_DIGITS:
        return ()
    names = os.environ.get("LISTEN_FDNAMES", "").split(":")
    found = []
    for number in range(int(count)):
        fd = _FIRST + number
        if names[number : number + 1] == [NAME]:
            found.append(_parsed(fd))
        with suppress(OSError):  # it was none
            os.close(fd)
    return tuple(found)


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
        self,
        notifier: Notifier,
        found: Sequence[Keepsake | Unusable],
        before: Receipt | None,
        timer: Timer,
    ) -> None:
        """`found` is all that systemd keeps now, `before` what the kernel before this one had left,
        `timer` for another try.
        """
        self._notifier = notifier
        self._before = before
        # Of several all have to go, and what is of no use has to.
        (only,) = found if len(found) == 1 else (None,)
        self._kept = only.pack() if isinstance(only, Keepsake) else None
        self._wanted = b""
        self._retry = Retry(self._keep, timer)

    def keep(self, handover: Handover, origin: Origin) -> None:
        """Have it kept, and try until it is; nothing is done where it is already, or where there is
        no store.
        """
        if self._notifier.has_store:
            self._wanted = Keepsake(_receipt(handover, origin), self._before).pack()
            self._keep()

    def stop(self) -> None:
        """Try no longer."""
        self._retry.stop()

    def _keep(self) -> None:
        if self._kept != self._wanted:
            self._kept = self._wanted if self._given() else None
        self._retry.heard(failed=self._kept is None)

    def _given(self) -> bool:
        """Whether systemd could be given it; if not, it may have nothing now."""
        try:
            fd = memfd.sealed(NAME, self._wanted)
        except OSError as error:
            log.warning("systemd is given nothing to keep over a kexec: %s", error.strerror)
            return False
        try:
            return self._notifier.store(NAME, fd)
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
