# SPDX-License-Identifier: LGPL-2.1-or-later
"""SECURITY.md: each promise names the tests that hold it, and they are there."""

import ast
import re
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
TEXT = (CHECKOUT / "SECURITY.md").read_text()
PROMISED = TEXT.partition("## Promised\n")[2].partition("\n## ")[0]
PROMISES = re.split(r"^- ", PROMISED, flags=re.MULTILINE)[1:]


def names_in(path: Path) -> set[str]:
    """What functions a module has."""
    body = ast.parse(path.read_text()).body
    return {each.name for each in body if isinstance(each, ast.FunctionDef)}


def test_there_are_promises() -> None:
    assert len(PROMISES) > 10


@pytest.mark.parametrize("promise", PROMISES, ids=range(len(PROMISES)))
def test_each_promise_names_tests_that_are_there(promise: str) -> None:
    named = re.findall(r"^  - `(tests/[a-z_/]+\.py)::(test_\w+)`$", promise, re.MULTILINE)
    assert named
    assert len(named) == promise.count("\n  - "), "a line that is not FILE::TEST"
    for path, test in named:
        assert test in names_in(CHECKOUT / path), f"{path} has no {test}"
