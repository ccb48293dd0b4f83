# SPDX-License-Identifier: LGPL-2.1-or-later
"""An upgrade loses nothing, a removal stops the service, and a purge leaves nothing at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from kexecprepd import __version__
from tests.lab.guest import Guest
from tests.support.packages import build_deb

from .machines import INSTALLED_AGAIN, on
from .project import install_package
from .service import NAME, UNIT, cursor_now, properties, show, wait_for, wait_for_log

pytestmark = [pytest.mark.vm, on(INSTALLED_AGAIN)]

SUFFIX = "+later"

FIRST_DEB = Path(__file__).parents[1] / "data" / "kexecprepd_0.1.0-1_all.deb"
"""The first version's own package: tests/data/README.md has how it was built."""

LOAD = "kexecprepctl load /boot/vmlinuz-* --initrd=$(echo /boot/initrd.img-*) --reuse-cmdline"


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


def test_an_upgrade_from_the_first_version_keeps_generation_cache_and_kernel(
    guest: Guest, deb: Path
) -> None:
    install_package(guest, FIRST_DEB)
    assert version(guest) == "installed 0.1.0-1"
    # Who begins anew begins with 1.
    guest.hot_add_memory(128)
    wait_for(lambda: properties(guest)["Generation"] == 2, "the first version has the DIMM")
    guest.run(["sh", "-c", LOAD], timeout=900)
    before, image = properties(guest), guest.read_file("/run/kexecprepd/setup_data")
    start = cursor_now(guest)

    install_package(guest, deb)
    unit, after = show(guest), properties(guest, user="tester")
    assert (unit["UnitFileState"], unit["ActiveState"], unit["NRestarts"]) == (
        "enabled",
        "active",
        "0",
    )
    wait_for_log(guest, "Adopted the cache of generation 2", start)
    assert (before["State"], after["Version"]) == ("ready", __version__)
    assert {name: after[name] for name in before} == {**before, "Version": __version__}
    assert guest.read_file("/run/kexecprepd/setup_data") == image
    assert guest.read_file("/sys/kernel/kexec_loaded") == b"1\n"
    # What only the new version has.
    assert show(guest, "kexecprepd-reload.path")["ActiveState"] == "active"
    assert guest.run(["systemctl", "--failed", "--plain", "--no-legend"]).stdout == ""
