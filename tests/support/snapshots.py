# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is read of trees that are whole; of the recordings and of the published machines once."""

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from kexecprepd.core.snapshot import Snapshot
from kexecprepd.reading import sysfs

from .recordings import materialise, materialise_machine
from .scratch import scratch


def read_snapshot(root: Path) -> Snapshot:
    """As the reader has it, of a tree that can be read."""
    reading = sysfs.read_snapshot(root)
    assert isinstance(reading, Snapshot), f"{reading}"
    return reading


@cache
def recorded(name: str, cmdline: bool = True) -> Snapshot:
    """A recording; without `cmdline` there is no proc/ to read."""
    with TemporaryDirectory(prefix="kexecprepd-test.", dir=scratch()) as top:
        return read_snapshot(materialise(name, Path(top), cmdline))


@cache
def published(name: str, efi_debug: bool = False) -> Snapshot:
    """A published machine, as `materialise_machine` writes it."""
    with TemporaryDirectory(prefix="kexecprepd-test.", dir=scratch()) as top:
        return read_snapshot(materialise_machine(name, Path(top), efi_debug))
