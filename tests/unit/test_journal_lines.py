# SPDX-License-Identifier: LGPL-2.1-or-later
"""The lines of the log: under systemd each has its priority, and elsewhere none has."""

import os
import subprocess
import sys

import pytest

from tests.support.daemon import CHECKOUT

_PROGRAM = """
import logging
from pathlib import Path
from kexecprepd.daemon import journal

journal.set_up(Path("/"), logging.DEBUG)
for name in ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"):
    logging.log(getattr(logging, name), "%s\\ntwo lines", name)
try:
    raise ValueError("one\\ntwo")
except ValueError:
    logging.exception("It failed:")
"""


@pytest.fixture(scope="module", params=[True, False], ids=["under systemd", "on a screen"])
def logged(request: pytest.FixtureRequest) -> tuple[bool, list[str]]:
    """Whether systemd reads it, and the lines."""
    environment = {k: v for k, v in os.environ.items() if k != "JOURNAL_STREAM"}
    if request.param:
        environment["JOURNAL_STREAM"] = "1:1"  # of a stream that is not standard error itself
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM],
        env=environment,
        cwd=CHECKOUT,
        stderr=subprocess.PIPE,
        text=True,
        check=True,
    )
    return request.param, done.stderr.splitlines()


def test_every_line_has_the_priority_of_its_entry(logged: tuple[bool, list[str]]) -> None:
    under_systemd, lines = logged
    priorities = {"DEBUG": 7, "INFO": 6, "WARNING": 4, "ERROR": 3, "CRITICAL": 2}

    expected = [
        f"<{number}>{line}" if under_systemd else line
        for name, number in priorities.items()
        for line in (name, "two lines")
    ]
    assert lines[:10] == expected


def test_every_line_of_a_traceback_is_an_error(logged: tuple[bool, list[str]]) -> None:
    under_systemd, lines = logged
    told, traceback = lines[10], lines[11:]
    prefix = "<3>" if under_systemd else ""

    assert told == f"{prefix}It failed:"
    assert traceback[0] == f"{prefix}Traceback (most recent call last):"
    assert traceback[-2:] == [f"{prefix}ValueError: one", f"{prefix}two"]
    assert {line.startswith("<3>") for line in traceback} == {under_systemd}
