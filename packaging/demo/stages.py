# SPDX-License-Identifier: LGPL-2.1-or-later
"""Steps that take their time: counted while they last, and stopped by a signal without a trace."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_PATIENCE_S = 20
_LINES = 30


class Stopped(BaseException):
    """A signal asked for the end; as with KeyboardInterrupt, only the outermost catches it."""

    def __init__(self, number: int) -> None:
        """Keep the signal's number."""
        super().__init__(number)
        self.number = number


class StageError(Exception):
    """A step failed; the message says which and quotes what it said last."""


def stop_on_signals() -> None:
    """Have the signals that end a program raise Stopped, so that it cleans up; the first alone."""

    def stop(number: int, frame: FrameType | None) -> None:
        for each in _SIGNALS:
            signal.signal(each, signal.SIG_IGN)
        raise Stopped(number)

    for each in _SIGNALS:
        # nohup's choice stands.
        if signal.getsignal(each) is not signal.SIG_IGN:
            signal.signal(each, stop)


@contextlib.contextmanager
def counting(what: str, *, stays: bool = True) -> Iterator[None]:
    """Count the seconds beside `what` while the body runs, where there is a terminal.

    A line that does not stay makes room for what comes after it, and is for terminals alone.
    """
    began = time.monotonic()

    def line() -> str:
        return f"{what} {time.monotonic() - began:.0f} s"

    if not sys.stdout.isatty():
        if stays:
            print(what, flush=True)
        yield
        return

    done = threading.Event()

    def count() -> None:
        # The terminal may go away before we do.
        with contextlib.suppress(OSError):
            while not done.wait(1):
                print(f"\r{line()}", end="", flush=True)

    if stays:
        print(what, end="", flush=True)
    counter = threading.Thread(target=count, daemon=True)
    counter.start()
    try:
        yield
    finally:
        done.set()
        counter.join()
        with contextlib.suppress(OSError):
            print(f"\r{line()}" if stays else f"\r{' ' * len(line())}\r", end="", flush=True)
            print(end="\n" if stays else "", flush=True)


def run_stage(what: str, command: Sequence[str | Path], folder: Path, *, failure: str) -> None:
    """Run a program of many words, which are shown only if it fails; temporary files to `folder`.

    Raises StageError, which starts with the sentence `failure`.
    """
    log = folder / "log"
    with log.open("wb") as messages, counting(what):
        # A group of its own, so that a stop reaches everything that it has started.
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=messages,
            stderr=messages,
            env={**os.environ, "TMPDIR": str(folder)},
            process_group=0,
        )
        try:
            status = process.wait()
        finally:
            _end(process)
    if status:
        last = log.read_text(errors="replace").splitlines()[-_LINES:]
        raise StageError("\n".join([f"{failure} Its last words:", *last]))


def _end(process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is not None:
        return
    for number in (signal.SIGTERM, signal.SIGKILL):
        os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_PATIENCE_S)
            return
