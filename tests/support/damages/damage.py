# SPDX-License-Identifier: LGPL-2.1-or-later
"""Harm done to a recording, and what rightly comes along with it."""

import shutil
import tempfile
from atexit import register
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from kexecprepd.core.snapshot import Snapshot
from tests.support.recordings import FIRST_KERNEL, materialise, mend
from tests.support.scratch import scratch
from tests.support.snapshots import read_snapshot

RUNTIME = 1 << 63
GAP = 0xD000_0000
"""An address that the recordings' memory maps say nothing of."""

VIRT = 0xFFFF_FFFE_D000_0000
"""Where nothing is mapped, congruent with GAP."""

Step = Callable[[Path], object]
Change = Callable[[Snapshot], Snapshot]


@dataclass(frozen=True)
class Damage:
    """Harm to the tree of the recording `on`; `also` are the codes that rightly come along.

    `then` is done to what was read of the tree: for harm that would be thousands of files.
    """

    steps: tuple[Step, ...]
    also: frozenset[str]
    on: str
    then: Change | None

    def read(self) -> Snapshot:
        """Do the harm to a tree that is whole, and read it."""
        root = mend(self.on, _tree(self.on))
        for step in self.steps:
            step(root)
        snapshot = read_snapshot(root)
        return snapshot if self.then is None else self.then(snapshot)


@cache
def _tree(recording: str) -> Path:
    """A recording's tree for one damage after the other; it is there until the process ends."""
    top = tempfile.mkdtemp(prefix="kexecprepd-test.", dir=scratch())
    register(shutil.rmtree, top)
    return materialise(recording, Path(top))


def damage(
    *steps: Step, also: Iterable[str] = (), on: str = FIRST_KERNEL, then: Change | None = None
) -> Damage:
    """Harm to a recording, with the further codes that rightly come along."""
    return Damage(steps, frozenset(also), on, then)
