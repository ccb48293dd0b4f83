# SPDX-License-Identifier: LGPL-2.1-or-later
"""Fixtures that the unit tests share."""

from pathlib import Path

import pytest

from tests.support import recordings


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A healthy first kernel's tree, for a test to damage."""
    return recordings.materialise(recordings.FIRST_KERNEL, tmp_path / "root")
