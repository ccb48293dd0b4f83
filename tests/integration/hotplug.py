# SPDX-License-Identifier: LGPL-2.1-or-later
"""Memory that is plugged into the tree, and the signal that must come of it."""

from pathlib import Path

from kexecprepd.wire.names import MANAGER
from tests.support.recordings import add_range

MAP_CHANGED = f"{MANAGER}.MapChanged"
GIB = 1 << 30


def plug(tree: Path, number: int = 0) -> None:
    """Plug in one GiB more of memory."""
    start = (4 + number) * GIB
    add_range(tree, start, start + GIB - 1, "System RAM")
