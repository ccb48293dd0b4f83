# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the tests stand on: trees that share their files, and lines however they arrive."""

import os
from collections.abc import Callable, Iterator
from io import FileIO
from pathlib import Path

import pytest

from tests.support.lines import Lines
from tests.support.recordings import patch, remove, write
from tests.support.scratch import scratch
from tests.support.template import Template


def make(top: Path) -> None:
    write(top, "sys/a/first", "1\n", 0o400)
    write(top, "sys/a/second", "2\n")
    write(top, "sys/b/third", "3\n")


def listed(top: Path) -> dict[str, tuple[int, bytes | None]]:
    """Every entry with its mode, and its content where it is a file."""
    return {
        str(path.relative_to(top)): (
            path.stat().st_mode,
            path.read_bytes() if path.is_file() else None,
        )
        for path in top.rglob("*")
    }


@pytest.fixture
def template() -> Template:
    return Template(make, scratch())


Harm = tuple[Callable[[Path], object], ...]

HARM: dict[str, Harm] = {
    "nothing": (),
    "another content": (lambda top: write(top, "sys/a/first", "x\n"),),
    "another byte": (lambda top: patch(top, "sys/a/first", 0, b"x"),),
    "another mode": (lambda top: write(top, "sys/a/second", "2\n", 0),),
    "no file": (lambda top: remove(top, "sys/a/second"),),
    "no folder": (lambda top: remove(top, "sys/a"),),
    "one file more": (lambda top: write(top, "sys/a/fourth", "4\n"),),
    "one folder more": (lambda top: write(top, "run/deep/fifth", "5\n"),),
    "a folder for a file": (
        lambda top: remove(top, "sys/b/third"),
        lambda top: (top / "sys/b/third").mkdir(),
    ),
    "a file for a folder": (
        lambda top: remove(top, "sys/b"),
        lambda top: write(top, "sys/b", ""),
    ),
    "a link for a folder": (
        lambda top: remove(top, "sys/b"),
        lambda top: (top / "sys/b").symlink_to("a"),
    ),
}


@pytest.mark.parametrize("harm", HARM.values(), ids=HARM)
def test_a_damaged_tree_is_mended_and_no_other_is_touched(
    template: Template, tmp_path: Path, harm: Harm
) -> None:
    template.put(tmp_path / "tree")
    template.put(tmp_path / "other")
    healthy = listed(tmp_path / "other")
    for step in harm:
        step(tmp_path / "tree")
    assert listed(tmp_path / "other") == healthy

    template.mend(tmp_path / "tree")

    assert listed(tmp_path / "tree") == listed(tmp_path / "other") == healthy


@pytest.mark.parametrize(
    "harm",
    [lambda path: path.write_bytes(b"another\n"), lambda path: path.chmod(0o600)],
    ids=["write", "chmod"],
)
def test_harm_done_in_place_is_found(
    template: Template, tmp_path: Path, harm: Callable[[Path], object]
) -> None:
    template.put(tmp_path / "tree")
    harm(tmp_path / "tree/sys/b/third")

    with pytest.raises(AssertionError, match="sys/b/third in place"):
        template.put(tmp_path / "other")


def test_nothing_that_is_there_is_taken_away_by_a_new_tree(
    template: Template, tmp_path: Path
) -> None:
    (tmp_path / "mine").touch()

    with pytest.raises(AssertionError, match="not empty"):
        template.put(tmp_path)


@pytest.fixture
def pipe() -> Iterator[tuple[Lines, FileIO]]:
    """A program's lines, and where it writes them."""
    reader, writer = os.pipe()
    with open(reader, "rb", buffering=0) as file, FileIO(writer, "w") as program:
        yield Lines(file, deadline=0.05), program


def test_two_lines_that_come_together_are_two(pipe: tuple[Lines, FileIO]) -> None:
    lines, program = pipe
    program.write(b"first\nsecond\n")

    assert [lines.next(), lines.next()] == ["first\n", "second\n"]


def test_a_line_that_is_not_whole_is_none(pipe: tuple[Lines, FileIO]) -> None:
    lines, program = pipe
    program.write(b"fir")
    with pytest.raises(AssertionError, match=r"nothing more came within .*, after b'fir'"):
        lines.next()

    program.write(b"st\nsec")

    assert lines.next() == "first\n"


def test_what_is_left_at_the_end_is_the_rest(pipe: tuple[Lines, FileIO]) -> None:
    lines, program = pipe
    program.write(b"first\nsecond\nthird")
    assert lines.next() == "first\n"
    program.close()

    assert lines.rest() == "second\nthird"
    assert lines.next() == ""
