# SPDX-License-Identifier: LGPL-2.1-or-later
"""The daemon on a bus of its own, and the programs beside it, which are built on the way."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measuring import Sample, cpu_of
from tests.support.daemon import Daemon, started
from tests.support.private_bus import OPEN_POLICY, PrivateBus, private_bus

WARM = "20"
"""Calls before those that are measured."""

PATIENCE = 300.0
"""Seconds for the daemon to start in: a busy machine is measured, and not refused."""

PEERS = Path(__file__).parent / "peers"
LIBRARIES = {"sd_bus": ["libsystemd"], "caller": ["gio-2.0", "gio-unix-2.0"]}
LIBRARIES["gdbus"] = LIBRARIES["caller"]

BUS_NAME, OBJECT = "org.kexecprepd1", "/org/kexecprepd1"
MANAGER, PROPERTIES = "org.kexecprepd1.Manager", "org.freedesktop.DBus.Properties"


def built(name: str, directory: Path) -> Path:
    """Compile a program of peers/; it takes gcc, and the -dev packages of the libraries."""
    command = ["pkg-config", "--cflags", "--libs", *LIBRARIES[name]]
    flags = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    program = directory / name
    source = str(PEERS / f"{name}.c")
    subprocess.run(["gcc", "-O2", "-o", str(program), source, *flags], check=True)
    return program


@dataclass(frozen=True, slots=True)
class Service:
    """A service on the bus: its name there, and its process."""

    name: str
    pid: int


@dataclass(frozen=True, slots=True)
class Bench:
    """A bus with the daemon on it, and a directory for what is built."""

    directory: Path
    bus: PrivateBus
    daemon: Daemon
    caller: Path

    @contextmanager
    def peer(self, number: int, command: Sequence[str | Path], *more: str) -> Iterator[Service]:
        """Another service; it has asked the daemon for its answers when the block begins."""
        name = f"org.kexecprepd1.Peer{number}"
        process = subprocess.Popen(
            [*map(str, command), name, *more],
            env=self.bus.environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert process.stdout is not None
            if process.stdout.readline() != "ready\n":
                raise RuntimeError(f"{command} is not ready")
            yield Service(name, process.pid)
        finally:
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()

    def call(self, service: Service, member: tuple[str, str], arguments: str, count: int) -> Sample:
        """Call a method so many times on one connection, by a client in C."""
        before = cpu_of(service.pid)
        command = [self.caller, service.name, OBJECT, *member, arguments, str(count), WARM]
        lines = subprocess.run(
            list(map(str, command)),
            env=self.bus.environment,
            check=True,
            capture_output=True,
            text=True,
        ).stdout.split()
        used = cpu_of(service.pid) - before
        return Sample([int(each) / 1000 for each in lines], used / (count + int(WARM)))


@contextmanager
def serving(root: Path, environment: Mapping[str, str] | None = None) -> Iterator[Bench]:
    """The daemon on the tree at `root`."""
    with tempfile.TemporaryDirectory(prefix="kexecprepd-bench.") as name:
        directory = Path(name)
        directory.chmod(0o755)
        with private_bus(directory, OPEN_POLICY) as bus:
            whole = {**bus.environment, **(environment or {})}
            with started(directory, root, whole) as daemon:
                daemon.notify.wait_for("READY=1", PATIENCE)
                yield Bench(directory, bus, daemon, built("caller", directory))


PYTHON = sys.executable
