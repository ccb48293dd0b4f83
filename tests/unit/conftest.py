# SPDX-License-Identifier: LGPL-2.1-or-later
"""Fixtures that the unit tests share."""

from pathlib import Path

import pytest

from tests.support.recordings import FIRST_KERNEL, materialise, mend, remove


@pytest.fixture(scope="session")
def _first_kernel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return materialise(FIRST_KERNEL, tmp_path_factory.mktemp("tree") / "root")


@pytest.fixture
def tree(_first_kernel: Path) -> Path:
    """A healthy first kernel's tree to damage: the same for every test, and mended for each.

    It lies in a directory of its own, and whatever a test has put beside it is gone as well.
    """
    for beside in {*_first_kernel.parent.iterdir()} - {_first_kernel}:
        remove(_first_kernel.parent, beside.name)
    return mend(FIRST_KERNEL, _first_kernel)
