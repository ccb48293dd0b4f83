# SPDX-License-Identifier: LGPL-2.1-or-later
"""A short run of the fuzzer, the same every time; and that it would find something."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest

from tests.support.daemon import CHECKOUT

from . import __main__ as fuzzer
from .mutator import LIMIT, mutated
from .readers import Reader


def test_nothing_but_documented_errors_comes_of_damaged_inputs(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz", "--count=10000", f"--keep={tmp_path / 'found'}"],
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )

    assert done.returncode == 0, done.stdout
    assert done.stdout.endswith(": 0 found\n")
    assert not (tmp_path / "found").exists()


def test_the_same_seed_brings_the_same_inputs() -> None:
    def inputs() -> Iterator[bytes]:
        random = Random(7)
        return (mutated((b"0x10\n", b"0x1f\n" * 20), random) for _ in range(500))

    assert list(inputs()) == list(inputs())
    assert len(set(inputs())) > 200
    assert max(map(len, inputs())) <= LIMIT


def raise_key_error(_: bytes) -> None:
    raise KeyError("of no reader's")


def raise_lines(_: bytes) -> None:
    raise ValueError("one\ntwo")


@pytest.mark.parametrize(
    ("read", "words"),
    [(raise_key_error, "KeyError"), (raise_lines, "several lines"), (lambda _: None, None)],
)
def test_what_is_no_documented_error_is_found(
    read: Callable[[bytes], None], words: str | None
) -> None:
    problem = fuzzer._problem(Reader(read, (b"",), (ValueError,), 1), b"")

    assert (words in problem) if words and problem else problem == words
