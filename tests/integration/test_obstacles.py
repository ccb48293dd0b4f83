# SPDX-License-Identifier: LGPL-2.1-or-later
"""What lies in the daemon's way on the file system: it is told of, and nothing waits for it."""

import json
import os
import signal
from pathlib import Path

import pytest

from tests.support.daemon import Daemon, running
from tests.support.private_bus import PrivateBus

from .client import Client, wait_until
from .hotplug import plug

pytestmark = pytest.mark.bus

READ_ONLY_RUN = (
    *("unshare", "--mount", "--propagation=unchanged", "sh", "-c"),
    'mount --make-private "$(findmnt --noheadings --output TARGET --target "$0")" && '
    'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"',
)
"""Before the name of a directory and a command: the command, with the directory read-only."""


def test_a_pipe_in_sysfs_does_not_stop_it(
    bus: PrivateBus, top: Path, tree: Path, client: Client
) -> None:
    systab = tree / "sys/firmware/efi/systab"
    systab.unlink()
    os.mkfifo(systab)
    with running(top, tree, bus.environment):
        assert client.get("State") == "invalid"
        assert "not a regular file" in client.get("Reason")


def test_a_pipe_that_comes_later_does_not_stop_it(
    daemon: Daemon, client: Client, tree: Path
) -> None:
    vendor = tree / "sys/firmware/efi/fw_vendor"
    vendor.unlink()
    os.mkfifo(vendor)
    daemon.process.send_signal(signal.SIGHUP)
    wait_until(lambda: client.get("State") == "invalid", "the daemon has seen it")


@pytest.mark.parametrize("name", ["setup_data", "snapshot.json", "changed"])
def test_a_pipe_in_the_cache_does_not_stop_it(
    bus: PrivateBus, top: Path, tree: Path, client: Client, name: str
) -> None:
    with running(top, tree, bus.environment) as daemon:
        image = client.call("GetSetupData")[0]
    (daemon.cache / name).unlink()
    os.mkfifo(daemon.cache / name)
    with running(top, tree, bus.environment):
        assert (daemon.cache / "setup_data").read_bytes() == bytes(image)
        assert json.loads((daemon.cache / "snapshot.json").read_bytes())["state"] == "ready"
        assert (daemon.cache / "changed").read_text() == f"{client.get('Generation')}\n"


def test_what_a_read_only_directory_keeps_is_called_out_of_date(
    bus: PrivateBus, top: Path, tree: Path, client: Client
) -> None:
    with running(top, tree, bus.environment) as daemon:
        before = (daemon.cache / "snapshot.json").read_bytes()
    plug(tree)
    wrapper = (*READ_ONLY_RUN, str(tree / "run"))
    with running(top, tree, bus.environment, wrapper=wrapper) as daemon:
        assert (client.get("State"), client.get("Generation")) == ("ready", 2)
        assert "what late shutdown finds there may be out of date" in daemon.stderr
        assert (daemon.cache / "snapshot.json").read_bytes() == before


def test_a_link_in_place_of_the_cache_is_not_followed(
    bus: PrivateBus, top: Path, tree: Path, client: Client
) -> None:
    elsewhere = top / "elsewhere"
    elsewhere.mkdir(mode=0o755)
    (tree / "run").mkdir()
    (tree / "run/kexecprepd").symlink_to(elsewhere)
    with running(top, tree, bus.environment) as daemon:
        assert client.get("State") == "ready"
        assert "it is a symbolic link" in daemon.stderr
    assert list(elsewhere.iterdir()) == []
    assert elsewhere.stat().st_mode & 0o777 == 0o755
