# SPDX-License-Identifier: LGPL-2.1-or-later
"""The packages, built once from this checkout, and what is in them."""

import subprocess
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]


def run(*command: str | Path) -> str:
    """Run a command that must succeed; its standard output."""
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        shown = " ".join(map(str, command))
        pytest.fail(f"{shown} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def files_below(top: Path) -> dict[str, Path]:
    """Every file and link below a directory, by its absolute path in the package."""
    found = (path for path in top.rglob("*") if path.is_symlink() or not path.is_dir())
    return {f"/{path.relative_to(top)}": path for path in found}


def _only(folder: Path, pattern: str) -> Path:
    (path,) = folder.glob(pattern)
    return path


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root that packaging/install makes."""
    top = tmp_path_factory.mktemp("installed")
    run(CHECKOUT / "packaging" / "install", "--destdir", top, "--systemd", "252")
    return top


@pytest.fixture(scope="session")
def deb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Debian package."""
    output = tmp_path_factory.mktemp("deb")
    run(CHECKOUT / "packaging" / "build-deb", "--output", output)
    return _only(output, "*.deb")


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
    return _only(output, "*.noarch.rpm")
