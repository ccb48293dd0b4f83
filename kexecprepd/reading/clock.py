# SPDX-License-Identifier: LGPL-2.1-or-later
"""Which boot this is, and what time it is in it."""

import time
from pathlib import Path

from ..core.timestamp import Timestamp
from . import proc


def boot_id(root: Path) -> str:
    """The kernel's boot id, as /proc/sys/kernel/random/boot_id has it.

    A tree without proc/ (a recording of /sys alone) is taken to belong to the running boot.
    Raises OSError where it cannot be read.
    """
    top = root if (root / "proc").is_dir() else Path("/")
    return proc.text(top, "sys/kernel/random/boot_id")


def now() -> Timestamp:
    """The present moment."""
    return Timestamp(time.time_ns() // 1000, time.monotonic_ns() // 1000)
