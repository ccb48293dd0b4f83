# SPDX-License-Identifier: LGPL-2.1-or-later
"""The daemon on a bus of its own, and the programs beside it, which are built on the way."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measuring import Sample, cpu_of
from tests.support.daemon import Daemon, started
from tests.support.private_bus import OPEN_POLICY, PrivateBus, private_bus

WARM = 20
"""Calls before those that are measured; as many as those, where they are fewer."""

PATIENCE = 300
"""Seconds for the daemon to start in: a busy machine is measured, and not refused."""

PEERS = Path(__file__).parent / "peers"
LIBRARIES = {"sd_bus": ["libsystemd"], "caller": ["gio-2.0", "gio-unix-2.0"]}
LIBRARIES["gdbus"] = LIBRARIES["caller"]
PACKAGES = "gcc, pkg-config, libglib2.0-dev and libsystemd-dev"

BUS_NAME, OBJECT = "org.kexecprepd1", "/org/kexecprepd1"
MANAGER, PROPERTIES = "org.kexecprepd1.Manager", "org.freedesktop.DBus.Properties"


class Missing(Exception):
    """Something that a benchmark takes is not there; the text says what, and what to install."""


def built(name: str, directory: Path) -> Path:
    """Compile a program of peers/. Raises Missing without gcc, or a library's -dev package."""
    program = directory / name
    if program.exists():
        return program
    flags = (
        _output("pkg-config", "--cflags", "--libs", *LIBRARIES[name]) if name in LIBRARIES else ""
    )
    _output("gcc", "-O2", "-o", str(program), str(PEERS / f"{name}.c"), *flags.split())
    return program


def _output(*command: str) -> str:
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout
    except FileNotFoundError as error:
        raise Missing(f"there is no {command[0]}: install {PACKAGES}") from error
    except subprocess.CalledProcessError as error:
        why = error.stderr.strip() or f"it ended with {error.returncode}"
        raise Missing(f"{command[0]} fails: {why}\nInstall {PACKAGES}.") from error


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
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            assert process.stdout is not None
            assert process.stderr is not None
            if process.stdout.readline() != "ready\n":
                last = process.stderr.read().strip().rpartition("\n")[2]
                raise Missing(last or f"it ended with {process.wait()}")
            yield Service(name, process.pid)
        finally:
            process.kill()
            process.wait()
            for stream in (process.stdout, process.stderr):
                if stream is not None:
                    stream.close()

    def call(
        self,
        service: Service,
        member: tuple[str, str],
        arguments: str,
        count: int,
        *,
        connect: bool = False,
    ) -> Sample:
        """Call a method, or several with commas between them, so many times, by a client in C.

        On one connection; with `connect` on a new one each time, which is counted in.
        """
        before, warm = cpu_of(service.pid), min(WARM, count)
        way = "connect" if connect else "stay"
        command = [self.caller, service.name, OBJECT, *member, arguments, count, warm, way]
        lines = subprocess.run(
            list(map(str, command)),
            env=self.bus.environment,
            check=True,
            capture_output=True,
            text=True,
        ).stdout.split()
        used = cpu_of(service.pid) - before
        return Sample([int(each) / 1000 for each in lines], used / (count + warm))


@contextmanager
def serving(root: Path, environment: Mapping[str, str] | None = None) -> Iterator[Bench]:
    """The daemon on the tree at `root`."""
    with tempfile.TemporaryDirectory(prefix="kexecprepd-bench.") as name:
        directory = Path(name)
        directory.chmod(0o755)
        with private_bus(directory, OPEN_POLICY) as bus:
            whole = {**bus.environment, **(environment or {})}
            with started(directory, root, whole) as daemon:
                wait_until_ready(daemon)
                yield Bench(directory, bus, daemon, built("caller", directory))


def wait_until_ready(daemon: Daemon) -> None:
    """Wait for its READY=1; not in vain for one that has ended. Raises Missing for that."""
    for _ in range(PATIENCE):
        with suppress(TimeoutError):
            daemon.notify.wait_for("READY=1", 1)
            return
        if daemon.process.poll() is not None:
            break
    last = daemon.stderr.strip().rpartition("\n")[2]
    raise Missing(f"the daemon does not get ready: {last}")


PYTHON = sys.executable
