# SPDX-License-Identifier: LGPL-2.1-or-later
"""rest: how often the daemon wakes when nothing happens, and its memory after many calls."""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.call import MEMBERS
from benchmarks.measuring import MEMORY, Table
from benchmarks.served import BUS_NAME, Bench, Service, serving
from tests.support import recordings

SECONDS = 60
CALLS = 100_000
CONNECTIONS = 10_000
FIRST = 1_000
"""Calls, and connections, before memory is looked at for the first time."""


def run(_rounds: int) -> Iterator[Table]:
    """There is nothing to compare, and each is done once."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as name:
        root = recordings.materialise(recordings.FIRST_KERNEL, Path(name) / "root")
        with serving(root) as bench:
            time.sleep(1)  # what the start has left to do
            before = _switches(bench.daemon.pid)
            time.sleep(SECONDS)
            woken = _switches(bench.daemon.pid) - before
            yield Table("asleep", facts={f"wake-ups in {SECONDS} s": woken})
            for what, count, connect in (
                ("calls", CALLS, False),
                ("connections", CONNECTIONS, True),
            ):
                small = _resident_after(bench, FIRST, connect=connect)
                grown = _resident_after(bench, count, connect=connect) - small
                facts = {f"KiB after {FIRST:,}": small, f"KiB more after {count:,} more": grown}
                yield Table(f"memory of its own, {what}", facts=facts)


def _resident_after(bench: Bench, count: int, *, connect: bool) -> float:
    """KiB of its own that the daemon has after so many more calls."""
    service = Service(BUS_NAME, bench.daemon.pid)
    bench.call(service, *MEMBERS["GetHandover"], count, connect=connect)
    return bench.daemon.resident_bytes() / 1024


def _switches(pid: int) -> int:
    """How often the threads of a process have waited for something."""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        for line in (task / "status").read_text().splitlines():
            if line.startswith("voluntary_ctxt_switches"):
                total += int(line.split()[1])
    return total
