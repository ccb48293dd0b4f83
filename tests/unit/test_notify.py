# SPDX-License-Identifier: LGPL-2.1-or-later
"""What systemd is told, also where nobody listens to it, or nobody listens any more."""

import contextlib
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kexecprepd.daemon import notify
from kexecprepd.daemon.notify import Notifier, watchdog_interval
from tests.support.notify_socket import DEADLINE

# sdnotify leaves it to Python to close its socket.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")


@pytest.fixture
def receiver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """Where systemd listens; it reads nothing by itself."""
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(tmp_path / "notify"))
        receiver.settimeout(DEADLINE)
        yield receiver


def test_a_status_is_one_line_whatever_its_text_is(receiver: socket.socket) -> None:
    notifier = Notifier()

    notifier.status("The map\nis refused:\r\n  READY=1\x85 \u2028 ä")
    notifier.ready("Two\nlines")

    assert receiver.recv(4096) == b"STATUS=The map is refused: READY=1 ?"
    assert receiver.recv(4096) == b"READY=1\nSTATUS=Two lines"


def test_a_receiver_that_is_stuck_is_given_up_on(
    receiver: socket.socket, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(notify, "_PATIENCE_SECONDS", 0.01)
    notifier = Notifier()
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender,
        contextlib.suppress(BlockingIOError),
    ):
        sender.setblocking(False)
        while True:
            sender.sendto(b"", receiver.getsockname())

    telling = threading.Thread(target=notifier.watchdog, daemon=True)
    telling.start()
    telling.join(DEADLINE)

    assert not telling.is_alive()
    assert "systemd could not be told WATCHDOG=1: timed out" in caplog.text


def test_a_receiver_that_is_gone_is_told_of_in_the_log(
    receiver: socket.socket, caplog: pytest.LogCaptureFixture
) -> None:
    notifier = Notifier()
    receiver.close()

    notifier.status("Well.")

    assert "systemd could not be told STATUS=Well.: [Errno 111]" in caplog.text


def test_a_receiver_that_was_never_there_is_told_of_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "absent"))

    notifier = Notifier()
    notifier.ready("Well.")
    notifier.stopping()

    assert caplog.text.count("systemd is told nothing") == len(caplog.records) == 1


def test_a_reload_is_told_with_its_time(receiver: socket.socket) -> None:
    before = time.monotonic_ns() // 1000
    Notifier().reloading()
    after = time.monotonic_ns() // 1000

    first, second = receiver.recv(4096).decode().split("\n")
    assert first == "RELOADING=1"
    name, _, number = second.partition("=")
    assert name == "MONOTONIC_USEC"
    assert before <= int(number) <= after


@pytest.mark.parametrize(
    ("usec", "pid", "seconds"),
    [
        pytest.param("30000000", "", 15.0, id="half of what systemd waits"),
        pytest.param("30000000", "own", 15.0, id="meant for this process"),
        pytest.param("30000000", "1", None, id="meant for another one"),
        pytest.param("", "", None, id="none"),
        pytest.param("0", "", None, id="never"),
        pytest.param("soon", "", None, id="no number"),
        pytest.param("-1", "", None, id="below zero"),
    ],
)
def test_signs_of_life_come_twice_as_often_as_systemd_asks(
    monkeypatch: pytest.MonkeyPatch, usec: str, pid: str, seconds: float | None
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", usec)
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()) if pid == "own" else pid)

    assert watchdog_interval() == seconds
