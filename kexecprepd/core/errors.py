# SPDX-License-Identifier: LGPL-2.1-or-later
"""The root of every error that is ours: one tree, so that each is told in the same way.

    KexecprepdError
    ├── ImageError            core.image       the bytes are no image, or there can be none
    ├── DecodeError           core.decoding    bytes are nothing that is known
    ├── PlacementError        core.placement   the image cannot be placed there
    ├── ReadError             reading.tree     sysfs could not be read whole
    ├── IomemError            reading.iomem    nor /proc/iomem
    ├── RecordingError        reading.archive  a file is no recording
    ├── BusUnavailable        wire.bus         there is no bus, or no name to be had
    ├── CallFailed            wire.bus         someone else's answer is an error
    ├── BusError              wire.errors      what we answer to a call: org.kexecprepd1.Error.*
    │   ├── Failed            wire.errors
    │   ├── Invalid           wire.errors
    │   ├── Unsupported       wire.errors
    │   ├── AccessDenied      wire.errors
    │   └── InvalidArgs       wire.errors
    ├── CacheError            daemon.cache     the cache cannot be used or written
    ├── LoadError             loader.errors    no kernel was loaded
    │   └── Refused           loader.errors    the running kernel says so
    └── CtlError              ctl.exits        ends kexecprepctl, with an exit code

Whatever else is raised is the standard library's, and is turned into one of these where it can
happen, or is a bug.
"""

from typing import ClassVar


class KexecprepdError(Exception):
    """Something was refused, or could not be done.

    `sentence` says for people what was wrong and where, and is the error's text; `hint` what to do,
    "" where that is not known; `denied` whether all that is missing is a privilege.

    A kind of error whose sentences all begin alike names that in `LEAD`, and is given the rest: the
    `reason`, for those that have another beginning for it.
    """

    LEAD: ClassVar[str] = ""

    def __init__(self, reason: str, hint: str = "", *, denied: bool = False) -> None:
        self.reason = reason
        self.sentence = f"{self.LEAD}: {reason}." if self.LEAD else reason
        self.hint = hint
        self.denied = denied
        super().__init__(self.sentence)
