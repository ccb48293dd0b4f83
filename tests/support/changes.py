# SPDX-License-Identifier: LGPL-2.1-or-later
"""Something that changes files: looked at before each step of it, killed or failing at one."""

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .system_calls import CHANGES, Answer, Kill, Number, Outcome, SystemCall, run

Work = Callable[[], str | None]

_BY_DESCRIPTOR = (Number.WRITE, Number.FCHMOD, Number.FTRUNCATE)


@dataclass(frozen=True)
class Changes:
    """The calls that a piece of work makes below a directory, in their order, and how it ended."""

    calls: tuple[SystemCall, ...]
    outcome: Outcome


def _is_change(call: SystemCall, top: Path) -> bool:
    if call.number not in CHANGES:
        return False
    if call.number in _BY_DESCRIPTOR:
        return call.name_of(call.arguments[0]).startswith(f"{top}/")
    if call.number in (Number.OPEN, Number.OPENAT):
        return bool(call.arguments[1 if call.number == Number.OPEN else 2] & os.O_CREAT)
    return True


def _run(work: Work, top: Path, at: Callable[[SystemCall], Answer]) -> Outcome:
    return run(work, lambda call: at(call) if _is_change(call, top) else None)


def watched(work: Work, top: Path, look: Callable[[], object] = lambda: None) -> Changes:
    """All of it, with a look before each change: the files are then as a kill would leave them."""
    calls: list[SystemCall] = []

    def at(call: SystemCall) -> None:
        look()
        calls.append(call)

    return Changes(outcome=_run(work, top, at), calls=tuple(calls))


def killed_at(number: int, work: Work, top: Path) -> Outcome:
    """Killed where it is about to make the change of that number, counted from 0."""
    return _nth(number, work, top, Kill)


def failing_at(number: int, work: Work, top: Path) -> Outcome:
    """That one fails, with EIO, and no other."""
    return _nth(number, work, top, errno.EIO)


def failing_from(number: int, work: Work, top: Path) -> Outcome:
    """That one fails, with EIO, and so does each after it."""
    return _nth(number, work, top, errno.EIO, for_good=True)


def _nth(number: int, work: Work, top: Path, answer: Answer, *, for_good: bool = False) -> Outcome:
    count = 0

    def at(_: SystemCall) -> Answer:
        nonlocal count
        count += 1
        return answer if count == number + 1 or (for_good and count > number) else None

    return _run(work, top, at)
