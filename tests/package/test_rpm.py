# SPDX-License-Identifier: LGPL-2.1-or-later
"""The RPM package, as Debian's rpmbuild builds it from the same tree."""

from pathlib import Path

import pytest

from kexecprepd import __version__
from tests.support.packages import files_below, run

pytestmark = pytest.mark.package

OF_RPM = ("/usr/share/doc/kexecprepd-", "/usr/share/licenses/")
"""Where the package has its own papers."""


def query(rpm: Path, *options: str) -> list[str]:
    """What rpm says of a package, in lines."""
    # Any directory will do for a database that is not asked.
    database = ("--dbpath", rpm.parent / "db")
    return run("rpm", *database, "--query", *options, "--package", rpm).splitlines()


def test_it_has_the_files_that_install_has(rpm: Path, installed: Path) -> None:
    files = query(rpm, "--queryformat", "[%{FILENAMES} %{FILEMODES:perms}\n]")
    paths = {line.split()[0] for line in files if not line.split()[1].startswith("d")}
    # Some rpmbuilds compress manual pages, and compile.
    shipped = {
        path.removesuffix(".gz")
        for path in paths
        if not path.startswith(OF_RPM) and not path.endswith(".pyc")
    }
    # Where Debian's zsh looks others' do not.
    debian = "/usr/share/zsh/vendor-completions/_kexecprepctl"
    others = "/usr/share/zsh/site-functions/_kexecprepctl"
    assert shipped == {*files_below(installed), others} - {debian}


def test_its_version_is_the_code_s(rpm: Path) -> None:
    assert query(rpm, "--queryformat", "%{VERSION} %{ARCH}\n") == [f"{__version__} noarch"]


def test_its_unit_is_for_the_systemd_that_it_requires(rpm: Path) -> None:
    # The unit of the package is made for 254, see the spec.
    assert "systemd >= 254" in query(rpm, "--requires")


def test_the_user_is_there_before_the_bus_looks_and_the_service_is_enabled(rpm: Path) -> None:
    scripts = "\n".join(query(rpm, "--scripts"))
    steps = ("systemd-sysusers ", "ReloadConfig", "systemctl --no-reload preset ")
    places = [scripts.index(step) for step in steps]
    assert places == sorted(places)
