# SPDX-License-Identifier: LGPL-2.1-or-later
"""packaging/run --vm, as somebody at a terminal has it: the show, and then the guest's shell."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.packages import CHECKOUT

pytestmark = pytest.mark.vm

# The suite whose image the other tests need anyway.
RUN = [str(CHECKOUT / "packaging" / "run"), "--vm", "--suite", "bookworm"]
PROMPT = ":~# "
CONTROL = re.compile(r"\x1b\[[?!0-9;]*[A-Za-z]|\x1b\][^\a\x1b]*(\a|\x1b\\)|\r")


class Terminal:
    """A terminal with a command on it."""

    def __init__(self, command: list[str], temporary: Path) -> None:
        """Start the command, with its temporary files in a folder of their own."""
        self._ours, self._theirs = pty.openpty()
        self.temporary = temporary
        self.resize(31, 121)
        self._settings = self.settings()
        self._received = b""
        self._read = 0
        self.process = subprocess.Popen(
            ["setsid", "--ctty", *command],
            stdin=self._theirs,
            stdout=self._theirs,
            stderr=self._theirs,
            env={**os.environ, "TERM": "xterm", "TMPDIR": str(temporary)},
        )

    def close(self) -> None:
        """Take the terminal away."""
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(60)
        os.close(self._ours)
        os.close(self._theirs)

    def settings(self) -> list[Any]:
        """What stty shows."""
        return termios.tcgetattr(self._theirs)

    def as_before(self) -> bool:
        """Whether the terminal's settings are those that it had at first."""
        return self.settings() == self._settings

    def resize(self, rows: int, columns: int) -> None:
        """Give the window another size."""
        fcntl.ioctl(self._ours, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))

    def type(self, keys: str) -> None:
        """Press keys."""
        os.write(self._ours, keys.encode())

    def read_to(self, text: str, timeout: float = 300) -> str:
        """What has come since the last time, without control sequences, up to some text."""
        end = time.monotonic() + timeout
        while text not in self._unread():
            gone = self.process.poll() is not None
            if not self._receive(0.2):
                assert not gone, f"it ended before {text!r}:\n{self._unread()}"
                assert time.monotonic() < end, f"no {text!r} in {timeout:g} s:\n{self._unread()}"
        found = self._unread().partition(text)[0]
        self._read += len(found) + len(text)
        return found

    def answer(self, command: str, timeout: float = 120) -> str:
        """What a command at the shell's prompt prints, with the line in which it was typed."""
        self.type(f"{command}\n")
        return self.read_to(PROMPT, timeout)

    def end(self, timeout: float = 60) -> tuple[int, str]:
        """The command's status when it has ended, and what came since the last time."""
        end = time.monotonic() + timeout
        while self.process.poll() is None:
            assert time.monotonic() < end, f"it has not ended in {timeout:g} s:\n{self._unread()}"
            self._receive(0.1)
        while self._receive(0):
            pass
        return self.process.returncode, self._unread()

    def _receive(self, timeout: float) -> bool:
        if not select.select([self._ours], [], [], timeout)[0]:
            return False
        self._received += os.read(self._ours, 1 << 16)
        return True

    def _unread(self) -> str:
        # All of it each time, as a control sequence may come in parts.
        return CONTROL.sub("", self._received.decode(errors="replace"))[self._read :]

    def guests(self) -> list[int]:
        """The QEMUs that this command has started."""
        return [
            int(folder.name)
            for folder in Path("/proc").glob("[0-9]*")
            if _is_qemu_in(folder / "cmdline", self.temporary)
        ]


def _is_qemu_in(path: Path, temporary: Path) -> bool:
    try:
        command = path.read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return command.startswith(b"qemu-system") and bytes(temporary) in command


@contextmanager
def terminal(temporary: Path) -> Iterator[Terminal]:
    """packaging/run --vm on a terminal."""
    opened = Terminal(RUN, temporary)
    try:
        yield opened
    finally:
        opened.close()


@dataclass(frozen=True)
class Session:
    """All that somebody saw and did."""

    show: str
    welcome: str
    answers: dict[str, str]
    interrupted: str
    resized: bool
    guests: list[int]
    status: int
    last_words: str
    terminal_as_before: bool
    guests_afterwards: list[int]
    left: list[Path]


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Session:
    """The whole of it, once."""
    temporary = tmp_path_factory.mktemp("run")
    with terminal(temporary) as screen:
        show = screen.read_to("The guest is yours now", 1200)
        welcome = screen.read_to(PROMPT)
        commands = ("id -u", "tty", "stty size", "kexecprepctl status", "echo $TERM")
        answers = {command: screen.answer(command) for command in commands}

        # One job: with two, bash may get the signal between them.
        screen.type("sh -c 'echo begun; exec sleep 600'\n")
        screen.read_to("\nbegun")
        screen.type("\x03")
        screen.read_to(PROMPT)
        interrupted = screen.answer("echo status $?")

        screen.resize(41, 141)
        end = time.monotonic() + 60
        while not (resized := "41 141" in screen.answer("stty size")) and time.monotonic() < end:
            pass

        guests = screen.guests()
        screen.type("exit\n")
        status, last_words = screen.end()
        return Session(
            show,
            welcome,
            answers,
            interrupted,
            resized,
            guests,
            status,
            last_words,
            screen.as_before(),
            screen.guests(),
            list(temporary.iterdir()),
        )


def test_the_show_installs_the_package_and_the_service_is_active(session: Session) -> None:
    assert re.search(r"^# dpkg -i /tmp/kexecprepd_\S+_all\.deb$", session.show, re.M)
    assert "Active: active (running)" in session.show


def test_the_show_has_one_digest_from_three_sources(session: Session) -> None:
    counted = re.search(r"-> \d+ bytes, sha256 (\w{64})", session.show)
    vouched = re.search(r's "(\w{64})"$', session.show, re.M)
    cached = re.search(r"(\w{64})  /run/kexecprepd/setup_data", session.show)
    assert counted
    assert vouched
    assert cached
    assert counted[1] == vouched[1] == cached[1]


def test_the_show_has_the_signal_for_a_dimm(session: Session) -> None:
    assert re.search(r"generation \d+: memmap changed; ready", session.show)
    assert re.search(r"0x01\w+ +0x\w+ +512M +System RAM$", session.show, re.M)


def test_the_shell_is_roots_on_a_terminal_of_its_own(session: Session) -> None:
    assert session.answers["id -u"].splitlines()[1] == "0"
    assert session.answers["tty"].splitlines()[1] == "/dev/hvc0"
    assert "job control" not in session.welcome


def test_the_shell_has_the_package(session: Session) -> None:
    assert "State: ready" in session.answers["kexecprepctl status"]


def test_the_shell_has_the_windows_size_and_follows_it(session: Session) -> None:
    assert session.answers["stty size"].splitlines()[1] == "31 121"
    assert session.resized


def test_the_shell_has_the_terminals_type(session: Session) -> None:
    assert session.answers["echo $TERM"].splitlines()[1] == "xterm"


def test_ctrl_c_is_for_what_runs_in_the_guest(session: Session) -> None:
    assert "status 130" in session.interrupted


def test_exit_ends_it_and_leaves_nothing(session: Session) -> None:
    assert len(session.guests) == 1
    assert session.status == 0, session.last_words
    assert session.last_words.endswith("The guest has been stopped, and nothing of it is left.\n")
    assert session.terminal_as_before
    assert (session.guests_afterwards, session.left) == ([], [])


def test_ctrl_c_while_it_starts_ends_it_in_words_and_leaves_nothing(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    temporary = tmp_path_factory.mktemp("run")
    with terminal(temporary) as screen:
        screen.read_to("Starting the guest", 1200)
        end = time.monotonic() + 60
        while not screen.guests():
            assert time.monotonic() < end, "no QEMU of it was seen"
        screen.type("\x03")
        status, words = screen.end()
        assert status == 130
        assert words.endswith("run: stopped by SIGINT; nothing is left behind.\n")
        assert "Traceback" not in words
        assert screen.as_before()
        assert (screen.guests(), list(temporary.iterdir())) == ([], [])
