# SPDX-License-Identifier: LGPL-2.1-or-later
"""A lock between processes: what takes long is made by one of them, and used by all."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Wait until no other process is within this on the same file, which is made if need be."""
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
