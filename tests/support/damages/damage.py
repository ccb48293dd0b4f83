# SPDX-License-Identifier: LGPL-2.1-or-later
"""Harm done to a recording, and what rightly comes along with it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from kexecprepd.core.snapshot import Snapshot
from tests.support.recordings import FIRST_KERNEL, materialise
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
        """Do the harm to a tree of its own, and read it; nothing of the tree stays."""
        with TemporaryDirectory(prefix="kexecprepd-test.") as top:
            root = materialise(self.on, Path(top))
            for step in self.steps:
                step(root)
            snapshot = read_snapshot(root)
        return snapshot if self.then is None else self.then(snapshot)


def damage(
    *steps: Step, also: Iterable[str] = (), on: str = FIRST_KERNEL, then: Change | None = None
) -> Damage:
    """Harm to a recording, with the further codes that rightly come along."""
    return Damage(steps, frozenset(also), on, then)
