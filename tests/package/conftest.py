# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is in the packages, and what is to be in them; tests/conftest.py has the Debian package."""

from pathlib import Path

import pytest

from tests.support.packages import CHECKOUT, run


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root that packaging/install makes."""
    top = tmp_path_factory.mktemp("installed")
    install = (CHECKOUT / "packaging" / "install", "--destdir", top, "--systemd", "252")
    # As dpkg-buildpackage has it.
    changelog = ("dpkg-parsechangelog", "-l", CHECKOUT / "packaging" / "debian" / "changelog")
    run("env", f"SOURCE_DATE_EPOCH={run(*changelog, '-S', 'Timestamp').strip()}", *install)
    return top


@pytest.fixture(scope="session")
def unpacked(deb: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root of what the Debian package installs."""
    top = tmp_path_factory.mktemp("unpacked")
    run("dpkg-deb", "--extract", deb, top)
    return top


@pytest.fixture(scope="session")
def rpm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The RPM package."""
    output = tmp_path_factory.mktemp("rpm")
    run(CHECKOUT / "packaging" / "build-rpm", "--output", output)
    assert len(list(output.glob("*.src.rpm"))) == 1
    (path,) = output.glob("*.noarch.rpm")
    return path
