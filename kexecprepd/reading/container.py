# SPDX-License-Identifier: LGPL-2.1-or-later
"""Whether this runs in a container, where the machine's files are shown but not given."""

import os
from pathlib import Path

from . import small

_MARKS = ("run/systemd/container", "run/.containerenv", ".dockerenv")
"""What systemd's PID 1 (container interface), Podman and Docker leave in a container."""

_WHOLE = ["0", "0", "4294967295"]
"""The ids of the user namespace that the machine was booted with, as uid_map has them."""


def contained(root: Path) -> bool:
    """Whether marks below `root` tell of a container, or of a user namespace.

    In either the kernel's files of mode 0400 stay closed, whatever capabilities there are: those
    count in the user namespace that owns them, user_namespaces(7).
    """
    if any(os.path.exists(root / mark) for mark in _MARKS):
        return True
    if root == Path("/") and "container" in os.environ:
        return True
    mapped = small.text_or_none(root / "proc/self/uid_map")
    return mapped is not None and mapped.split() != _WHOLE
