# SPDX-License-Identifier: LGPL-2.1-or-later
"""rest: how often the daemon wakes when nothing happens, and its memory after many calls."""

import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.call import MEMBERS
from benchmarks.measuring import MEMORY, Line
from benchmarks.served import BUS_NAME, Service, serving
from tests.support import recordings

SECONDS = 60
CALLS = 100_000


def run(_rounds: int) -> Iterator[tuple[str, list[Line]]]:
    """Prints what it finds: there is nothing to compare."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as name:
        root = recordings.materialise(recordings.FIRST_KERNEL, Path(name) / "root")
        with serving(root) as bench:
            time.sleep(1)  # what the start has left to do
            before = _switches(bench.daemon.pid)
            time.sleep(SECONDS)
            woken = _switches(bench.daemon.pid) - before
            print(f"wake-ups in {SECONDS} s: {woken}", file=sys.stderr)
            service = Service(BUS_NAME, bench.daemon.pid)
            bench.call(service, *MEMBERS["GetHandover"], 1_000)
            small = bench.daemon.resident_bytes()
            bench.call(service, *MEMBERS["GetHandover"], CALLS)
            grown = bench.daemon.resident_bytes() - small
            print(f"memory after {CALLS:,} calls: {small:,} B and {grown:+,} B", file=sys.stderr)
    yield from ()


def _switches(pid: int) -> int:
    """How often the threads of a process have waited for something."""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        for line in (task / "status").read_text().splitlines():
            if line.startswith("voluntary_ctxt_switches"):
                total += int(line.split()[1])
    return total
