# SPDX-License-Identifier: LGPL-2.1-or-later
"""scale: how reading and validating grow with the maps; time, and system calls."""

import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from benchmarks.measuring import CHECKOUT, MEMORY, Sample, Table, environment, in_turn
from benchmarks.served import PYTHON, built
from benchmarks.trees import enlarged, tree_of
from kexecprepd.core.rules import validate
from tests.support import recordings
from tests.support.snapshots import read_snapshot

SIZES = (10, 100, 1_000, 10_000)
COUNTED = (10, 1_000)
"""Between these two sizes system calls are counted."""

PASSES = 2
READ = """import sys; from pathlib import Path; from tests.support.snapshots import read_snapshot
read_snapshot(Path(sys.argv[1]))"""


def run(rounds: int) -> Iterator[Table]:
    """In each size C that reads as often as the daemon does is the floor."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as name:
        top = Path(name)
        reader = str(built("reader", top))
        recorded = read_snapshot(recordings.materialise(recordings.FIRST_KERNEL, top / "recorded"))
        for size in SIZES:
            root = tree_of(size, top / str(size))
            snapshot = enlarged(recorded, size)
            contestants: dict[str, Callable[[], Sample]] = {
                "C, reads twice": partial(_told, [reader, "sysfs", str(root), str(PASSES)]),
                "kexecprepd, reads twice": partial(_timed, partial(read_snapshot, root)),
                "kexecprepd, validates": partial(_timed, partial(validate, snapshot)),
            }
            yield Table(f"{size:,} regions and ranges", in_turn(contestants, rounds))
        yield Table("system calls", facts=_counted(reader, top))


def _timed(work: Callable[[], object]) -> Sample:
    """How long something takes in this process."""
    begin, used = time.perf_counter(), time.process_time()
    work()
    return Sample([(time.perf_counter() - begin) * 1e6], (time.process_time() - used) * 1e6)


def _told(command: Sequence[str]) -> Sample:
    """How long something took by its own words."""
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    took, used = (int(each) / 1000 for each in output.split())
    return Sample([took], used)


def _counted(reader: str, top: Path) -> dict[str, float | str]:
    """How many more it takes for each region and its range, in one pass."""
    few, many = COUNTED
    commands: dict[str, Callable[[str], list[str]]] = {
        "C": lambda root: [reader, "sysfs", root, str(PASSES)],
        "kexecprepd": lambda root: [PYTHON, "-c", READ, root],
    }
    facts: dict[str, float | str] = {}
    for name, command in commands.items():
        try:
            of_few, of_many = (_calls(command(str(top / str(each)))) for each in COUNTED)
        except (FileNotFoundError, subprocess.CalledProcessError) as error:
            print(f"scale: system calls are not counted: {error}", file=sys.stderr)
            facts[name] = "not counted: it takes strace, and the right to use it"
        else:
            facts[f"{name}, a region and a range"] = (of_many - of_few) / (many - few) / PASSES
    return facts


def _calls(command: Sequence[str]) -> int:
    result = subprocess.run(
        ["strace", "-f", "-c", "-U", "calls", *command],
        cwd=CHECKOUT,
        env=environment(),
        check=True,
        capture_output=True,
        text=True,
    )
    numbers = re.findall(r"^\s*(\d+)\s*(?:total)?$", result.stderr, re.MULTILINE)
    return int(numbers[-1])
