# SPDX-License-Identifier: LGPL-2.1-or-later
"""An upgrade loses nothing, a removal stops the service, and a purge leaves nothing at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab.guest import Guest
from tests.support.packages import build_deb

from .machines import INSTALLED_AGAIN, on
from .project import install_package
from .service import NAME, UNIT, cursor_now, properties, show, wait_for_log

pytestmark = [pytest.mark.vm, on(INSTALLED_AGAIN)]

SUFFIX = "+later"


@pytest.fixture(scope="session")
def later_deb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same package with a later version."""
    return build_deb(tmp_path_factory.mktemp("later"), "--suffix", SUFFIX)


def version(guest: Guest) -> str:
    """The package's version, as dpkg has it; empty without one."""
    command = ["dpkg-query", "-W", "-f", "${db:Status-Status} ${Version}", "kexecprepd"]
    return guest.run(command, check=False).stdout


def left_over(guest: Guest) -> str:
    """Every path with our name in it, but for the packages that we brought."""
    places = "/etc /home /opt /run /srv /usr /var"
    return guest.run(["sh", "-c", f"find {places} -iname '*kexecprep*'"]).stdout


def test_an_upgrade_restarts_it_and_loses_nothing(guest: Guest, later_deb: Path) -> None:
    before, unit, start = properties(guest), show(guest), cursor_now(guest)
    install_package(guest, later_deb)
    assert version(guest).startswith("installed ")
    assert version(guest).endswith(SUFFIX)
    after = show(guest)
    assert after["ActiveState"] == "active"
    assert after["MainPID"] != unit["MainPID"]
    wait_for_log(guest, f"Adopted the cache of generation {before['Generation']}", start)
    assert properties(guest) == before


def test_a_removal_stops_it_and_leaves_the_cache_for_shutdown(guest: Guest) -> None:
    image = guest.read_file("/run/kexecprepd/setup_data")
    guest.run(["dpkg", "--remove", "kexecprepd"], timeout=900)
    assert guest.run(["systemctl", "is-active", UNIT], check=False).stdout == "inactive\n"
    assert guest.run(["systemctl", "cat", UNIT], check=False).returncode != 0
    assert guest.run(["busctl", "status", NAME], check=False).returncode != 0
    assert guest.read_file("/run/kexecprepd/setup_data") == image


def test_a_purge_leaves_nothing(guest: Guest) -> None:
    guest.run(["dpkg", "--purge", "kexecprepd"], timeout=900)
    assert version(guest) == ""
    assert guest.run(["getent", "passwd", "kexecprepd"], check=False).stdout == ""
    assert guest.run(["getent", "group", "kexecprepd"], check=False).stdout == ""
    assert left_over(guest) == ""
    assert guest.run(["systemctl", "--failed", "--plain", "--no-legend"]).stdout == ""
    assert guest.run(["systemctl", "list-unit-files", UNIT], check=False).stdout.count(UNIT) == 0


def test_a_new_installation_starts_it(guest: Guest, deb: Path) -> None:
    start = cursor_now(guest)
    install_package(guest, deb)
    unit = show(guest)
    assert (unit["UnitFileState"], unit["ActiveState"]) == ("enabled", "active")
    assert (properties(guest, user="tester")["State"], unit["NRestarts"]) == ("ready", "0")
    wait_for_log(guest, "There is no cache yet", start)
