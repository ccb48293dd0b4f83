# SPDX-License-Identifier: LGPL-2.1-or-later
"""Readings of trees that are whole."""

from pathlib import Path

from kexecprepd.core.snapshot import Snapshot
from kexecprepd.reading import sysfs


def read_snapshot(root: Path) -> Snapshot:
    """As the reader has it, of a tree that can be read."""
    reading = sysfs.read_snapshot(root)
    assert isinstance(reading, Snapshot), f"{reading}"
    return reading
