# SPDX-License-Identifier: LGPL-2.1-or-later
"""What tests of several kinds need, and what takes too long to be made twice."""

from pathlib import Path

import pytest

from tests.support.packages import build_deb


@pytest.fixture(scope="session")
def deb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Debian package, built from this checkout."""
    return build_deb(tmp_path_factory.mktemp("deb"))
