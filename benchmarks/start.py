# SPDX-License-Identifier: LGPL-2.1-or-later
"""start: from exec to READY=1, against Python that imports the four libraries and nothing else."""

import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from benchmarks.measuring import CHECKOUT, MEMORY, Sample, Table, cpu_of, environment, in_turn
from benchmarks.served import PYTHON, wait_until_ready
from tests.support import recordings
from tests.support.daemon import Daemon
from tests.support.notify_socket import notify_socket
from tests.support.private_bus import OPEN_POLICY, private_bus

IMPORTS = "import pydbus, pyudev, sdnotify, logging; from gi.repository import GLib"

DAEMON = """import gc; gc.disable()
from kexecprepd import __main__
from pathlib import Path
from kexecprepd.daemon.main import run
raise SystemExit(run(Path({root!r}), 20))"""
"""What the program does where it has no arguments, as its unit starts it; but for the root."""


def run(rounds: int) -> Iterator[Table]:
    """The imports are the floor; bare Python is shown beside them."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as name:
        top = Path(name)
        top.chmod(0o755)
        root = recordings.materialise(recordings.FIRST_KERNEL, top / "root")
        with private_bus(top, OPEN_POLICY) as bus:
            around = {**environment(), **bus.environment}

            def python(program: str) -> Callable[[], Sample]:
                return lambda: _until_told(program, around)

            contestants = {
                "the four imports": python(IMPORTS),
                "python3 -c pass": python("pass"),
                "kexecprepd until READY=1": lambda: _until_ready(top, root, around),
            }
            yield Table("exec to READY=1", in_turn(contestants, rounds))


def _until_told(program: str, around: Mapping[str, str]) -> Sample:
    """Have Python say when it has done something, and wait to be ended."""
    told = f"{program}\nimport sys; print(flush=True); sys.stdin.read()"
    pipe = subprocess.PIPE
    begin = time.perf_counter()
    process = subprocess.Popen([PYTHON, "-c", told], stdin=pipe, stdout=pipe, env=dict(around))
    assert process.stdout is not None
    with process:
        process.stdout.readline()
        return _sample(process, begin)


def _until_ready(top: Path, root: Path, around: Mapping[str, str]) -> Sample:
    log = top / "stderr"
    with notify_socket(top) as notify, log.open("wb") as stderr:
        begin = time.perf_counter()
        process = subprocess.Popen(
            [PYTHON, "-c", DAEMON.format(root=str(root))],
            cwd=CHECKOUT,
            env={**around, "NOTIFY_SOCKET": str(notify.path)},
            stderr=stderr,
        )
        with process:
            try:
                wait_until_ready(Daemon(process, notify, log, root))
                return _sample(process, begin)
            finally:
                process.kill()


def _sample(process: "subprocess.Popen[bytes]", begin: float) -> Sample:
    took = time.perf_counter() - begin
    used = cpu_of(process.pid)
    rollup = Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()
    pss = next(int(line.split()[1]) for line in rollup if line.startswith("Pss:"))
    return Sample([took * 1e6], used, {"PSS KiB": pss})
