# SPDX-License-Identifier: LGPL-2.1-or-later
"""kexecprepctl where its output cannot be written, and where Ctrl-C ends it: no traceback, ever."""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.daemon import CHECKOUT, Daemon
from tests.support.notify_socket import DEADLINE
from tests.support.private_bus import PrivateBus
from tests.support.recordings import add_range

from .client import Client
from .relay import LOST, on_the_way

pytestmark = pytest.mark.bus

CTL = (sys.executable, "-m", "kexecprepd.ctl")
FULL = (">/dev/full", b"no space left on device")
CLOSED = (">&-", b"bad file descriptor")

FROM_THE_DAEMON = ("status", "check", "map", "--json=short findings", "dump -", "metrics")
BY_ITSELF = (
    "check --root {tree}",
    "entries --root {tree}",
    "adopt",
    "map --svg - --root {tree}",
    "record - --root {tree}",
    "diff {tree} {tree}",
    "--help",
    "load --help",
    "help load",
    "--version",
)


def sh(bus: PrivateBus, script: str, tree: Path) -> "subprocess.CompletedProcess[bytes]":
    """Have a shell run kexecprepctl, called "$@" in its script."""
    return subprocess.run(
        ["sh", "-c", script.format(tree=tree), "sh", *CTL],
        env={**bus.environment, "PYTHONPATH": str(CHECKOUT)},
        cwd=CHECKOUT,
        capture_output=True,
        timeout=DEADLINE,
    )


def require_one_sentence(done: "subprocess.CompletedProcess[bytes]", words: bytes) -> None:
    assert done.returncode == 1
    told = b"kexecprepctl: Standard output cannot be written: " + words + b".\n"
    assert done.stderr.endswith(told)
    assert b"Traceback" not in done.stderr
    assert b"Exception" not in done.stderr


def test_an_answer_of_the_daemon_that_cannot_be_written_ends_it_with_1_and_a_sentence(
    daemon: Daemon, bus: PrivateBus, tree: Path
) -> None:
    for verb in FROM_THE_DAEMON:
        require_one_sentence(sh(bus, f'"$@" {verb} {FULL[0]}', tree), FULL[1])
    where, words = CLOSED
    require_one_sentence(sh(bus, f'"$@" status {where}', tree), words)


@pytest.mark.parametrize("verb", BY_ITSELF)
def test_output_that_cannot_be_written_ends_it_with_1_and_a_sentence(
    bus: PrivateBus, tree: Path, verb: str
) -> None:
    require_one_sentence(sh(bus, f'"$@" {verb} {FULL[0]}', tree), FULL[1])


@pytest.mark.parametrize("verb", ["check --root {tree}", "--help"])
def test_so_does_output_that_is_closed(bus: PrivateBus, tree: Path, verb: str) -> None:
    where, words = CLOSED
    require_one_sentence(sh(bus, f'"$@" {verb} {where}', tree), words)


@pytest.mark.parametrize("where", [FULL[0], CLOSED[0]], ids=["full", "closed"])
@pytest.mark.parametrize("json", ["off", "short"])
def test_watch_ends_with_1_where_a_change_cannot_be_told(
    daemon: Daemon, bus: PrivateBus, client: Client, tree: Path, json: str, where: str
) -> None:
    process = subprocess.Popen(
        ["sh", "-c", f'exec "$@" watch --json={json} {where}', "sh", *CTL],
        env={**bus.environment, "PYTHONPATH": str(CHECKOUT)},
        cwd=CHECKOUT,
        stderr=subprocess.PIPE,
    )
    try:
        assert process.stderr is not None
        assert process.stderr.readline() == b"Watching, from generation 1 on.\n"
        add_range(tree, 8 << 30, (9 << 30) - 1, "System RAM")
        client.call("Refresh")
        told = process.stderr.read()
        assert process.wait(DEADLINE) == 1
    finally:
        process.kill()
        process.communicate()
    assert told.startswith(b"kexecprepctl: Standard output cannot be written: ")
    assert told.count(b"\n") == 1


@pytest.mark.parametrize("where", ["2>/dev/full", "2>&-"], ids=["full", "closed"])
def test_errors_that_cannot_be_told_do_not_go_elsewhere(
    daemon: Daemon, bus: PrivateBus, top: Path, tree: Path, where: str
) -> None:
    done = sh(bus, f'"$@" dump {top}/no/such/folder {where}', tree)
    assert (done.returncode, done.stdout, done.stderr) == (1, b"", b"")


def test_what_is_not_in_the_encoding_of_the_output_is_escaped(bus: PrivateBus, top: Path) -> None:
    (top / "Größe").mkdir()
    done = sh(bus, f'PYTHONIOENCODING=ascii "$@" check --root {top}/Größe >&2', top)
    assert b"Traceback" not in done.stderr
    assert b"Gr\\xf6\\xdfe/sys" in done.stderr


@contextmanager
def stuck_bus(top: Path) -> Iterator[tuple[str, threading.Event]]:
    """A bus that takes connections and never says a word; the event: somebody has connected."""
    path = top / "stuck"
    connected, over = threading.Event(), threading.Event()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connected.set()
                over.wait()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"unix:path={path}", connected
        finally:
            if not connected.is_set():
                with socket.socket(socket.AF_UNIX) as client:
                    client.connect(str(path))
            over.set()
            thread.join()


def interrupted(process: "subprocess.Popen[bytes]") -> tuple[int, bytes]:
    """Send it what Ctrl-C sends: how it ends, and what it says."""
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=DEADLINE)
    return process.returncode, told


def test_ctrl_c_ends_it_at_once_while_the_bus_hangs(top: Path) -> None:
    with stuck_bus(top) as (address, connected):
        process = subprocess.Popen(
            [*CTL, "status"],
            env={**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": address},
            cwd=CHECKOUT,
            stderr=subprocess.PIPE,
        )
        try:
            assert connected.wait(DEADLINE)
            assert interrupted(process) == (-signal.SIGINT, b"")
        finally:
            process.kill()
            process.wait()


def test_ctrl_c_ends_it_at_once_while_the_daemon_hangs(
    daemon: Daemon, bus: PrivateBus, top: Path
) -> None:
    asked = threading.Event()

    def lose() -> object:
        asked.set()
        return LOST

    with on_the_way(bus, top / "relay", "Describe", lose) as environment:
        process = subprocess.Popen(
            [*CTL, "status"], env=environment, cwd=CHECKOUT, stderr=subprocess.PIPE
        )
        try:
            assert asked.wait(DEADLINE)
            assert interrupted(process) == (-signal.SIGINT, b"")
        finally:
            process.kill()
            process.communicate()


def test_what_ignores_ctrl_c_goes_on_ignoring_it(daemon: Daemon, bus: PrivateBus) -> None:
    """As a shell starts what stays in the background."""
    script = "import signal; from kexecprepd.ctl import streams; streams.prepare(); "
    script += "assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN"
    done = subprocess.run(
        ["sh", "-c", 'trap "" INT; exec "$@"', "sh", sys.executable, "-c", script], cwd=CHECKOUT
    )
    assert done.returncode == 0
