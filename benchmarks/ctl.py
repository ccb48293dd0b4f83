# SPDX-License-Identifier: LGPL-2.1-or-later
"""ctl: each verb of kexecprepctl as a process, against Python that does nothing."""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.measuring import MEMORY, Sample, Table, environment, in_turn, run_one
from benchmarks.served import PYTHON, serving
from tests.support import recordings

VERBS = ("--help", "status", "check", "map", "findings", "dump -", "metrics", "adopt")


def run(rounds: int) -> Iterator[Table]:
    """`python3 -c pass` is the floor."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as name:
        root = recordings.materialise(recordings.FIRST_KERNEL, Path(name) / "root")
        with serving(root) as bench:
            around = {**environment(), **bench.bus.environment}

            def verb(arguments: str) -> Callable[[], Sample]:
                command = [PYTHON, "-m", "kexecprepd.ctl", *arguments.split()]
                return lambda: run_one(command, around)

            contestants = {"python3 -c pass": lambda: run_one([PYTHON, "-c", "pass"], around)}
            contestants |= {each: verb(each) for each in VERBS}
            yield Table("kexecprepctl", in_turn(contestants, rounds))
