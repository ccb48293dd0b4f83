# SPDX-License-Identifier: LGPL-2.1-or-later
"""flood: how root fares, and how much memory goes, while a user calls faster than is answered.

Beside systemd-hostnamed, a service in C on sd-bus, under the same flood, on either bus, each of our
own: `/usr/bin/python3 benchmarks/flood.py [--calls N] [--rounds N] [--json FILE]`, as root.
"""

import argparse
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from gi.repository import Gio, GLib

from benchmarks.trees import tree_of
from tests.support import flooder
from tests.support.daemon import running
from tests.support.private_bus import POLICY, PrivateBus, private_bus

HOSTNAMED = Path("/lib/systemd/systemd-hostnamed")
HOSTNAME = "org.freedesktop.hostname1"
POLICIES = f"""<include>{POLICY}</include>
  <policy user="root"><allow own="{HOSTNAME}"/></policy>
  <policy context="default"><allow send_destination="{HOSTNAME}"/></policy>"""
BROKER = "dbus-broker-launch"
NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
PATIENCE_MSEC = 25_000
"""GDBus' own: a call that takes longer has failed."""

ATTEMPTS = 2
"""After the flood, with that patience."""

REPLIES = ("unwanted", "unread")


@dataclass(frozen=True)
class Victim:
    """A service: its process, what the flooder calls, and what root asks it for."""

    pid: int
    where: tuple[str, str, str]
    call: tuple[str, str, Any]


@dataclass
class Found:
    """Seconds of root's calls, in quiet and in a flood, how many failed, and memory in KiB."""

    quiet: list[float]
    flooded: list[float]
    failed: int
    before: int
    after: int


def main() -> None:
    """Print a line for each bus, kind of flood and service."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    # As Ctrl-C: what was started is stopped.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    lines: dict[str, list[Found]] = {}
    for number in range(options.rounds):
        for bus, making in _buses().items():
            for replies in REPLIES:
                names = ["hostnamed", "kexecprepd"]
                for name in names if number % 2 == 0 else reversed(names):
                    with tempfile.TemporaryDirectory(prefix="kexecprepd-flood.") as top:
                        found = _measured(Path(top), making, name, replies, options.calls)
                    lines.setdefault(f"{bus}, {replies}, {name}", []).append(found)
    print(
        f"{options.calls:,} calls, {options.rounds} rounds; seconds of root's calls, memory in MiB"
    )
    print(f"{'':36}{'quiet':>9}{'median':>9}{'longest':>9}{'failed':>8}{'before':>8}{'most':>8}")
    for what, each in lines.items():
        print(_row(what, each))
    if options.json:
        told = {what: [asdict(found) for found in each] for what, each in lines.items()}
        options.json.write_text(json.dumps(told))


Making = Callable[[Path], AbstractContextManager[PrivateBus]]


def _buses() -> Mapping[str, Making]:
    buses: dict[str, Making] = {"dbus-daemon": lambda top: private_bus(top, POLICIES)}
    if shutil.which(BROKER):
        buses["dbus-broker"] = broker
    else:
        print(f"without dbus-broker: there is no {BROKER}")
    return buses


@contextmanager
def broker(top: Path) -> Iterator[PrivateBus]:
    """The same bus by dbus-broker: its launcher takes the socket as systemd gives it."""
    # The configuration is that of dbus-daemon's, which is not needed for long.
    with private_bus(top, POLICIES):
        pass
    path = top / "broker"
    with socket.socket(socket.AF_UNIX) as listening, (top / "broker.log").open("wb") as log:
        listening.bind(str(path))
        listening.listen()
        path.chmod(0o666)
        script = f'exec 3<&{listening.fileno()}; LISTEN_FDS=1 LISTEN_PID=$$ exec "$@"'
        config = f"--config-file={top / 'bus.conf'}"
        process = subprocess.Popen(
            ["sh", "-c", script, "sh", BROKER, "--scope=system", config],
            pass_fds=[listening.fileno()],
            # It is a client of its own, too.
            env={**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={path}"},
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    try:
        yield PrivateBus(f"unix:path={path}", process)
    finally:
        process.terminate()
        process.communicate()


def _measured(top: Path, making: Making, name: str, replies: str, calls: int) -> Found:
    top.chmod(0o755)
    program = shutil.copy(flooder.__file__, top)
    with ExitStack() as stack:
        bus = stack.enter_context(making(top))
        serving = {"hostnamed": _hostnamed, "kexecprepd": _kexecprepd}[name]
        victim = stack.enter_context(serving(top, bus))
        root = _connected(bus)
        _asked(root, victim)
        quiet = [_asked(root, victim)[0] for _ in range(20)]
        before = _peak(victim.pid)
        command = [*NOBODY, sys.executable, program, str(calls), "1", replies, *victim.where]
        flood = stack.enter_context(
            subprocess.Popen(command, cwd="/", env=bus.environment, stdout=subprocess.PIPE)
        )
        assert flood.stdout is not None
        flood.stdout.readline()
        during: list[tuple[float, bool]] = []
        while flood.poll() is None:
            during.append(_asked(root, victim))
            time.sleep(0.05)
        # What the bus has left of it may take a service minutes.
        for _ in range(ATTEMPTS):
            during.append(_asked(root, victim))
            if during[-1][1]:
                break
        answered = [seconds for seconds, answer in during if answer]
        return Found(quiet, answered, len(during) - len(answered), before, _peak(victim.pid))


@contextmanager
def _hostnamed(_top: Path, bus: PrivateBus) -> Iterator[Victim]:
    process = subprocess.Popen([HOSTNAMED], env=bus.environment)
    where = (HOSTNAME, "/org/freedesktop/hostname1", HOSTNAME)
    arguments = GLib.Variant("(ss)", (HOSTNAME, "Hostname"))
    victim = Victim(process.pid, where, ("org.freedesktop.DBus.Properties", "Get", arguments))
    try:
        root = _connected(bus)
        until = time.monotonic() + 60
        while not _asked(root, victim)[1] and time.monotonic() < until:
            time.sleep(0.1)
        yield victim
    finally:
        process.kill()
        process.wait()


@contextmanager
def _kexecprepd(top: Path, bus: PrivateBus) -> Iterator[Victim]:
    with running(top, tree_of(9, top / "root"), bus.environment) as daemon:
        manager = "org.kexecprepd1.Manager"
        where = ("org.kexecprepd1", "/org/kexecprepd1", manager)
        yield Victim(daemon.pid, where, (manager, "GetSetupData", None))


def _connected(bus: PrivateBus) -> Any:
    flags = (
        Gio.DBusConnectionFlags.AUTHENTICATION_CLIENT
        | Gio.DBusConnectionFlags.MESSAGE_BUS_CONNECTION
    )
    return Gio.DBusConnection.new_for_address_sync(bus.address, flags, None, None)


def _asked(root: Any, victim: Victim) -> tuple[float, bool]:
    """How long a call of root's took, and whether it was answered."""
    name, path, _ = victim.where
    begin = time.monotonic()
    try:
        flags = Gio.DBusCallFlags.NONE
        root.call_sync(name, path, *victim.call, None, flags, PATIENCE_MSEC, None)
    except GLib.Error:
        return time.monotonic() - begin, False
    return time.monotonic() - begin, True


def _peak(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])


def _row(what: str, rounds: list[Found]) -> str:
    quiet = median(each for found in rounds for each in found.quiet)
    flooded = [each for found in rounds for each in found.flooded] or [float("inf")]
    failed = sum(found.failed for found in rounds)
    before = median(found.before for found in rounds) / 1024
    most = max(found.after for found in rounds) / 1024
    return (
        f"{what:36}{quiet:9.4f}{median(flooded):9.2f}{max(flooded):9.2f}{failed:8}"
        f"{before:8.1f}{most:8.1f}"
    )


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(1)
