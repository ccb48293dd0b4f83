# SPDX-License-Identifier: LGPL-2.1-or-later
"""start: from exec to READY=1, against Python that imports the four libraries and nothing else."""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.measuring import MEMORY, Line, Sample, cpu_of, environment, in_turn, run_one
from benchmarks.served import PATIENCE, PYTHON
from tests.support import recordings
from tests.support.daemon import started
from tests.support.private_bus import OPEN_POLICY, private_bus

BARE = "import pydbus, pyudev, sdnotify, logging; from gi.repository import GLib"


def run(rounds: int) -> Iterator[tuple[str, list[Line]]]:
    """The imports are the floor; bare Python is shown beside them."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as name:
        top = Path(name)
        top.chmod(0o755)
        root = recordings.materialise(recordings.FIRST_KERNEL, top / "root")
        with private_bus(top, OPEN_POLICY) as bus:

            def start() -> Sample:
                begin = time.perf_counter()
                with started(top, root, bus.environment) as daemon:
                    daemon.notify.wait_for("READY=1", PATIENCE)
                    took = time.perf_counter() - begin
                    return Sample([took * 1e6], cpu_of(daemon.pid))

            contestants = {
                "the four imports": lambda: run_one([PYTHON, "-c", BARE], environment()),
                "python3 -c pass": lambda: run_one([PYTHON, "-c", "pass"], environment()),
                "kexecprepd until READY=1": start,
            }
            yield "exec to READY=1", in_turn(contestants, rounds)
