# SPDX-License-Identifier: LGPL-2.1-or-later
"""A daemon that starts again goes on from its cache, and tells what changed meanwhile."""

import json
from pathlib import Path

import pytest

from kexecprepd.wire.names import MANAGER
from tests.support.daemon import Daemon, run_to_end, running
from tests.support.private_bus import PrivateBus
from tests.support.recordings import set_region, write

from .client import PROPERTIES, Client
from .hotplug import MAP_CHANGED, plug

pytestmark = pytest.mark.bus


def test_a_restart_goes_on_from_the_cache(
    bus: PrivateBus, top: Path, tree: Path, client: Client
) -> None:
    with running(top, tree, bus.environment) as daemon:
        assert "There is no cache yet." in daemon.stderr
        plug(tree)
        client.call("Refresh")
        before = client.get_all()
        assert before["Generation"] == 2
        client.settle()
        client.signals.clear()
    with running(top, tree, bus.environment) as daemon:
        assert client.get_all() == before
        assert "Adopted the cache of generation 2" in daemon.stderr
        assert client.settle() == []


def test_a_cache_of_0_1_0_is_adopted(
    bus: PrivateBus, top: Path, tree: Path, client: Client
) -> None:
    with running(top, tree, bus.environment) as daemon:
        plug(tree)
        client.call("Refresh")
        before = client.get_all()
    file = (daemon.cache / "snapshot.json").resolve()
    document = json.loads(file.read_bytes())
    del document["info"]["handover-sha256"]
    file.chmod(0o600)
    file.write_text(json.dumps(document))
    (daemon.cache / "changed").unlink()
    with running(top, tree, bus.environment) as daemon:
        assert client.get_all() == before
        assert "Adopted the cache of generation 2" in daemon.stderr
        info = json.loads((daemon.cache / "snapshot.json").read_bytes())["info"]
        assert info["handover-sha256"] == client.call("GetHandover")[2]["handover-sha256"]


def test_a_change_while_it_was_down_is_told_at_start(
    bus: PrivateBus, top: Path, tree: Path, client: Client
) -> None:
    with running(top, tree, bus.environment):
        before = client.get_all()
    plug(tree)
    with running(top, tree, bus.environment) as daemon:
        assert client.wait_for(MAP_CHANGED) == [(2, before["Sha256"], ["memmap"])]
        after = client.get_all()
        assert after["Generation"] == 2
        assert after["SnapshotTimestamp"] != before["SnapshotTimestamp"]
        assert after["SnapshotTimestampMonotonic"] > before["SnapshotTimestampMonotonic"]
        assert "Discarded the cache: sysfs has changed since (memmap)" in daemon.stderr
    with running(top, tree, bus.environment) as daemon:
        assert "Adopted the cache of generation 2" in daemon.stderr


def test_a_cache_of_another_boot_counts_for_nothing(
    bus: PrivateBus, top: Path, tree: Path, client: Client
) -> None:
    with running(top, tree, bus.environment):
        plug(tree)
        client.call("Refresh")
        client.settle()
        client.signals.clear()
    boot_id = "6dd1b1ee-3f8e-4b7c-8a52-1d2b0a5c9f11"
    write(tree, "proc/sys/kernel/random/boot_id", boot_id + "\n")
    with running(top, tree, bus.environment) as daemon:
        assert client.get("BootID") == boot_id
        assert client.get("Generation") == 1
        assert "it is of another boot" in daemon.stderr
        assert client.settle() == []


@pytest.mark.parametrize(
    "damage", [b"", b"{", b"[]", b'{"format": 1}', b'{"format": 2}', b"\xff\x00", b"[" * 100_000]
)
def test_a_damaged_cache_is_replaced(
    bus: PrivateBus, top: Path, tree: Path, client: Client, damage: bytes
) -> None:
    with running(top, tree, bus.environment) as daemon:
        image = client.call("GetSetupData")[0]
    file = (daemon.cache / "snapshot.json").resolve()
    file.chmod(0o600)
    file.write_bytes(damage)
    with running(top, tree, bus.environment) as daemon:
        assert "Discarded the cache" in daemon.stderr
        assert client.call("GetSetupData")[0] == image
        assert json.loads((daemon.cache / "snapshot.json").read_bytes())["state"] == "ready"


def test_an_image_that_is_not_the_snapshots_is_replaced(
    bus: PrivateBus, top: Path, tree: Path, client: Client
) -> None:
    with running(top, tree, bus.environment) as daemon:
        pass
    file = (daemon.cache / "setup_data").resolve()
    file.chmod(0o600)
    file.write_bytes(file.read_bytes()[:-1] + b"\xff")
    with running(top, tree, bus.environment) as daemon:
        assert "Discarded the cache" in daemon.stderr
        image, info = client.call("GetSetupData")
        assert (daemon.cache / "setup_data").read_bytes() == bytes(image)
        assert info["generation"] == 2


def test_a_map_that_turned_bad_while_it_was_down_leaves_no_image(
    bus: PrivateBus, top: Path, tree: Path, client: Client
) -> None:
    with running(top, tree, bus.environment):
        pass
    set_region(tree, 0, num_pages=0)
    with running(top, tree, bus.environment) as daemon:
        assert client.wait_for(MAP_CHANGED) == [(2, "", ["runtime-map"])]
        assert not (daemon.cache / "setup_data").exists()


def test_a_cache_that_cannot_be_written_does_not_stop_the_service(
    bus: PrivateBus, top: Path, tree: Path, client: Client
) -> None:
    (tree / "run").write_text("not a directory\n")
    with running(top, tree, bus.environment) as daemon:
        assert client.get("State") == "ready"
        assert "The cache cannot be written" in daemon.stderr


def test_a_second_daemon_says_that_the_name_is_taken_and_leaves_the_cache_alone(
    bus: PrivateBus, daemon: Daemon, client: Client, tree: Path
) -> None:
    def cache() -> list[tuple[str, int, int]]:
        entries = sorted(daemon.cache.rglob("*"))
        stats = [(str(each), each.lstat()) for each in entries]
        return [(name, stat.st_ino, stat.st_mtime_ns) for name, stat in stats]

    before = cache()
    plug(tree)  # what a second one would have to write is not what is there
    second = daemon.root.parent / "second"
    second.mkdir()
    status, late = run_to_end(second, tree, bus.environment)
    assert status == 1
    assert late.stderr.splitlines()[-1] == (
        "the name org.kexecprepd1 is taken: another kexecprepd is running"
    )
    assert late.notify.messages == []
    assert cache() == before
    assert client.get("Generation") == 1
    assert client.settle() == []


def test_the_start_after_an_unreadable_sysfs_is_a_change(
    bus: PrivateBus, top: Path, tree: Path, client: Client
) -> None:
    systab = (tree / "sys/firmware/efi/systab").read_text()
    write(tree, "sys/firmware/efi/systab", "nonsense\n")
    with running(top, tree, bus.environment):
        assert client.get("State") == "invalid"
    write(tree, "sys/firmware/efi/systab", systab)
    with running(top, tree, bus.environment):
        ((generation, digest, changed),) = client.wait_for(MAP_CHANGED)
        assert (generation, digest) == (2, client.get("Sha256"))
        assert changed == ["runtime-map", "memmap", "efi-tables", "efi-info"]
        assert client.get("State", MANAGER) == "ready"
        assert PROPERTIES + ".PropertiesChanged" not in {each.member for each in client.signals}
