# SPDX-License-Identifier: LGPL-2.1-or-later
"""What tests of several kinds need, and what takes too long to be made twice; nothing is left."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.packages import build_deb


@pytest.fixture
def tmp_path(tmp_path: Path) -> Iterator[Path]:
    """A directory of the test's own, which is gone after it."""
    yield tmp_path
    shutil.rmtree(tmp_path)


@pytest.fixture(scope="session", autouse=True)
def _nothing_is_left(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Empty pytest's directory at the end: it would keep what the last three runs made."""
    yield
    for each in tmp_path_factory.getbasetemp().iterdir():
        if each.is_dir() and not each.is_symlink():
            shutil.rmtree(each)
        else:
            each.unlink()


@pytest.fixture(scope="session")
def deb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Debian package, built from this checkout."""
    return build_deb(tmp_path_factory.mktemp("deb"))
