# SPDX-License-Identifier: LGPL-2.1-or-later
"""Colours: on a screen that wants them, and nowhere else."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

import pytest

from kexecprepd.ctl.output import coloured


@contextmanager
def screen() -> Iterator[None]:
    """Standard output is a terminal within the block."""
    outer, inner = os.openpty()
    try:
        with open(inner, "w") as terminal, redirect_stdout(terminal):
            yield
    finally:
        os.close(outer)


@pytest.fixture(autouse=True)
def _capable(monkeypatch: pytest.MonkeyPatch) -> None:
    """The terminal can do colours, and nobody minds."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")


@pytest.mark.parametrize(
    ("word", "shown"),
    [
        ("ready", "\033[32mready\033[0m"),
        ("degraded", "\033[33mdegraded\033[0m"),
        ("invalid", "\033[31minvalid\033[0m"),
        ("anything", "anything"),
    ],
)
def test_a_state_has_its_colour_on_a_screen(word: str, shown: str) -> None:
    with screen():
        assert coloured(word) == shown


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_a_screen_that_wants_none_has_none(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)

    with screen():
        assert coloured("ready") == "ready"


def test_no_color_that_is_empty_is_no_wish(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "")

    with screen():
        assert coloured("ready") == "\033[32mready\033[0m"


def test_a_file_has_none(tmp_path: Path) -> None:
    with (tmp_path / "output").open("w") as file, redirect_stdout(file):
        assert coloured("ready") == "ready"
