# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is remembered of a load, where its writer is killed or fails at any change that it makes."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from kexecprepd.loader import request
from kexecprepd.loader.errors import LoadError
from kexecprepd.loader.request import Loaded
from tests.support.changes import failing_at, killed_at, watched
from tests.support.remembered import LOADED

OLD = LOADED
NEW = replace(OLD, generation=4)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "run").mkdir()
    with request.alone(tmp_path):
        request.keep(tmp_path, OLD)
    return tmp_path


def told(work: Callable[[], None]) -> Callable[[], str]:
    def told() -> str:
        try:
            work()
        except LoadError as error:
            return error.sentence
        return ""

    return told


def test_it_is_the_old_one_until_it_is_the_new_one(root: Path) -> None:
    seen: list[Loaded | None] = []

    changes = watched(
        told(lambda: request.keep(root, NEW)), root, lambda: seen.append(request.read(root))
    )

    assert changes.outcome.said == ""
    assert len(seen) >= 3
    assert seen == [OLD] * len(seen)
    assert request.read(root) == NEW


def test_a_killed_writer_hinders_nobody(root: Path) -> None:
    count = len(watched(told(lambda: request.keep(root, OLD)), root).calls)

    for number in range(count):
        assert killed_at(number, told(lambda: request.keep(root, NEW)), root).status == -9
        assert request.read(root) == OLD
        with request.alone(root):
            request.keep(root, OLD)
    request.forget(root)
    assert request.read(root) is None


def test_a_writer_that_fails_says_so_and_leaves_the_old_one_alone(root: Path) -> None:
    count = len(watched(told(lambda: request.keep(root, OLD)), root).calls)
    path = request.path_of(root)

    for number in range(count):
        outcome = failing_at(number, told(lambda: request.keep(root, NEW)), root)
        assert outcome.said == f"{path} cannot be written: input/output error."
        assert request.read(root) == OLD
        assert os.listdir(path.parent) == [path.name]


def test_what_cannot_be_forgotten_is_told(root: Path) -> None:
    outcome = failing_at(0, told(lambda: request.forget(root)), root)

    assert outcome.said == f"{request.path_of(root)} cannot be removed: input/output error."
    assert request.read(root) == OLD
