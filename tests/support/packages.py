# SPDX-License-Identifier: LGPL-2.1-or-later
"""Builds the packages of this checkout, as a maintainer does, and lists what is in them."""

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


def build_deb(
    output: Path, *options: str, checkout: Path = CHECKOUT, timezone: str | None = None
) -> Path:
    """The Debian package, built into an empty directory."""
    zone = () if timezone is None else ("env", f"TZ={timezone}")
    run(*zone, checkout / "packaging" / "build-deb", "--output", output, *options)
    (path,) = output.glob("*.deb")
    return path


def files_below(top: Path) -> dict[str, Path]:
    """Every file and link below a directory, by its absolute path in the package."""
    found = (path for path in top.rglob("*") if path.is_symlink() or not path.is_dir())
    return {f"/{path.relative_to(top)}": path for path in found}
