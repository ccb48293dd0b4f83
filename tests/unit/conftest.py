# SPDX-License-Identifier: LGPL-2.1-or-later
"""Fixtures that the unit tests share."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.recordings import FIRST_KERNEL, materialise, mend, remove
from tests.support.scratch import scratch


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A directory of the test's own, in memory if possible, which is gone after it."""
    with tempfile.TemporaryDirectory(prefix="kexecprepd-test.", dir=scratch()) as top:
        yield Path(top)


@pytest.fixture(scope="session")
def _first_kernel() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="kexecprepd-test.", dir=scratch()) as top:
        yield materialise(FIRST_KERNEL, Path(top) / "root")


@pytest.fixture
def tree(_first_kernel: Path) -> Path:
    """A healthy first kernel's tree to damage: the same for every test, and mended for each.

    It lies in a directory of its own, and whatever a test has put beside it is gone as well.
    """
    for beside in {*_first_kernel.parent.iterdir()} - {_first_kernel}:
        remove(_first_kernel.parent, beside.name)
    return mend(FIRST_KERNEL, _first_kernel)
