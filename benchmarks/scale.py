# SPDX-License-Identifier: LGPL-2.1-or-later
"""scale: how reading and validating grow with the maps, and what one costs beside the other."""

import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.measuring import MEMORY, Line, Sample, in_turn
from benchmarks.trees import enlarged, write
from kexecprepd.core.rules import validate
from kexecprepd.core.snapshot import Snapshot
from tests.support import recordings
from tests.support.snapshots import read_snapshot

TREE = 1_000
SIZES = (10, 100, 1_000, 10_000)


def timed(work: Callable[[], object]) -> Sample:
    """How long it took."""
    begin, used = time.perf_counter(), time.process_time()
    work()
    return Sample([(time.perf_counter() - begin) * 1e6], (time.process_time() - used) * 1e6)


def run(rounds: int) -> Iterator[tuple[str, list[Line]]]:
    """Everything against reading a tree of 1,000 regions and 1,000 ranges, in two passes."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as name:
        root = recordings.materialise(recordings.FIRST_KERNEL, Path(name) / "root")
        snapshot = read_snapshot(root)
        write(enlarged(snapshot, TREE), root)

        def validating(of: Snapshot) -> Callable[[], Sample]:
            return lambda: timed(lambda: validate(of))

        contestants = {f"read {TREE:,}, two passes": lambda: timed(lambda: read_snapshot(root))}
        for size in SIZES:
            contestants[f"validate {size:,}"] = validating(enlarged(snapshot, size))
        yield "validating beside reading", in_turn(contestants, rounds)
