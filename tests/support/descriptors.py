# SPDX-License-Identifier: LGPL-2.1-or-later
"""Leaves a process short of file descriptors for a while."""

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def left_with(spare: int, pid: int | None = None) -> Iterator[None]:
    """Within the block that process (this one, if none is named) can open so many files, and gets
    EMFILE for the next. To read a tree takes two at a time.
    """
    process = os.getpid() if pid is None else pid
    soft, hard = resource.prlimit(process, resource.RLIMIT_NOFILE)
    # A new descriptor is the lowest that is free.
    taken = {int(name) for name in os.listdir(f"/proc/{process}/fd")}
    free = [number for number in range(len(taken) + spare + 1) if number not in taken]
    resource.prlimit(process, resource.RLIMIT_NOFILE, (free[spare], hard))
    try:
        yield
    finally:
        resource.prlimit(process, resource.RLIMIT_NOFILE, (soft, hard))
