# SPDX-License-Identifier: LGPL-2.1-or-later
"""Where trees are made: in memory where there is room for them, as /sys is.

To make a folder, and to take it away again, costs ten times as much on a disk.
"""

import os
import shutil
import tempfile
from functools import cache
from pathlib import Path

_MEMORY = "/dev/shm"
_ROOM = 48 << 20
"""What the tests have there at one time, in bytes, and several times over."""


@cache
def scratch() -> str:
    """A folder for folders of one's own, which every user can reach."""
    if (
        "TMPDIR" not in os.environ
        and os.path.ismount(_MEMORY)
        and os.access(_MEMORY, os.W_OK | os.X_OK)
        and shutil.disk_usage(_MEMORY).free >= _ROOM
    ):
        return _MEMORY
    return tempfile.gettempdir()


def is_beside(path: Path) -> bool:
    """Whether a folder is in the same file system as `scratch`, so that links can be made."""
    return path.stat().st_dev == os.stat(scratch()).st_dev
