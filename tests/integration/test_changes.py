# SPDX-License-Identifier: LGPL-2.1-or-later
"""A change of sysfs is told once, to everyone, with what differs; no change is not told."""

import signal
from pathlib import Path

import pytest

from kexecprepd.wire.names import MANAGER
from tests.support.daemon import Daemon
from tests.support.descriptors import left_with
from tests.support.recordings import RUNTIME_MAP, remove, set_region, write

from .client import PROPERTIES, Client, Refused, Signal
from .hotplug import GIB, MAP_CHANGED, plug

pytestmark = pytest.mark.bus

PROPERTIES_CHANGED = f"{PROPERTIES}.PropertiesChanged"
FAILED = "org.kexecprepd1.Error.Failed"


def test_a_plugged_range_is_told_by_one_signal_of_each_kind(
    daemon: Daemon, client: Client, tree: Path
) -> None:
    before = client.get_all()
    plug(tree)
    assert client.call("Refresh") == 2
    after = client.get_all()
    differing = {name: value for name, value in after.items() if value != before[name]}
    assert set(differing) == {"Generation", "SnapshotTimestamp", "SnapshotTimestampMonotonic"}
    assert client.settle() == [
        Signal(PROPERTIES_CHANGED, (MANAGER, differing, [])),
        Signal(MAP_CHANGED, (2, before["Sha256"], ["memmap"])),
    ]
    assert (4 * GIB, 5 * GIB - 1, "System RAM") in client.call("GetMemoryMap")


def test_a_changed_runtime_map_brings_another_digest(
    daemon: Daemon, client: Client, tree: Path
) -> None:
    before = client.get_all()
    set_region(tree, 0, attribute=1 << 63 | 0xF)
    client.call("Refresh")
    after = client.get_all()
    assert after["Sha256"] != before["Sha256"]
    changed, told = client.settle()
    assert changed.arguments[1]["Sha256"] == after["Sha256"]
    assert told == Signal(MAP_CHANGED, (2, after["Sha256"], ["runtime-map"]))


def test_a_map_that_turns_bad_is_told_with_an_empty_digest(
    daemon: Daemon, client: Client, tree: Path
) -> None:
    set_region(tree, 0, num_pages=0)
    client.call("Refresh")
    changed, told = client.settle()
    assert changed.arguments[1]["State"] == "invalid"
    assert changed.arguments[1]["ErrorCount"] == 1
    assert told == Signal(MAP_CHANGED, (2, "", ["runtime-map"]))


@pytest.mark.parametrize(
    ("path", "text", "part"),
    [
        ("sys/firmware/efi/fw_vendor", "0x3f52aa20\n", "efi-tables"),
        ("sys/hypervisor/type", "kvm\n", "efi-info"),
    ],
)
def test_the_part_that_changed_is_named(
    daemon: Daemon, client: Client, tree: Path, path: str, text: str, part: str
) -> None:
    write(tree, path, text)
    client.call("Refresh")
    client.settle()
    ((_, _, changed),) = client.of(MAP_CHANGED)
    assert changed == [part]


def test_what_a_signal_tells_is_already_served_and_cached(
    daemon: Daemon, client: Client, tree: Path
) -> None:
    set_region(tree, 0, attribute=1 << 63 | 0xF)
    write(tree, "proc/cmdline", "x" * (8 << 20))  # so that writing the cache takes its time
    daemon.process.send_signal(signal.SIGHUP)
    ((generation, digest, _),) = client.wait_for(MAP_CHANGED)
    # First of all: an answer would come after whatever the daemon does meanwhile.
    assert digest in (daemon.cache / "snapshot.json").read_text()
    _, info = client.call("GetSetupData")
    assert (info["generation"], info["sha256"]) == (generation, digest)


def test_refresh_without_a_change_is_silent(daemon: Daemon, client: Client, tree: Path) -> None:
    before = client.get_all()
    assert client.call("Refresh") == 1
    assert client.settle() == []
    assert client.get_all() == before
    # The silence was not deafness: the next change is heard.
    plug(tree)
    client.call("Refresh")
    assert [each.member for each in client.settle()] == [PROPERTIES_CHANGED, MAP_CHANGED]


def test_a_change_and_its_undoing_are_two_generations(
    daemon: Daemon, client: Client, tree: Path
) -> None:
    number = max(int(each.name) for each in (tree / "sys/firmware/memmap").iterdir()) + 1
    plug(tree)
    assert client.call("Refresh") == 2
    remove(tree, f"sys/firmware/memmap/{number}")
    assert client.call("Refresh") == 3
    client.settle()
    assert [arguments[0] for arguments in client.of(MAP_CHANGED)] == [2, 3]


def test_sighup_reads_again_and_tells_systemd(daemon: Daemon, client: Client, tree: Path) -> None:
    plug(tree)
    daemon.process.send_signal(signal.SIGHUP)
    reloading = daemon.notify.wait_for("RELOADING=1").split("\n")
    daemon.notify.wait_for("READY=1")
    assert any(line.startswith("MONOTONIC_USEC=") for line in reloading)
    client.settle()
    assert [arguments[0] for arguments in client.of(MAP_CHANGED)] == [2]
    assert client.get("Generation") == 2


def test_sighup_without_a_change_is_silent_on_the_bus(daemon: Daemon, client: Client) -> None:
    daemon.process.send_signal(signal.SIGHUP)
    daemon.notify.wait_for("RELOADING=1")
    daemon.notify.wait_for("READY=1")
    assert client.settle() == []
    assert "nothing has changed" in daemon.stderr


def test_sighup_where_nothing_can_be_read_does_not_say_that_nothing_has_changed(
    daemon: Daemon, client: Client, tree: Path
) -> None:
    write(tree, f"{RUNTIME_MAP}/1/type", "?\n")
    for _ in range(2):
        daemon.process.send_signal(signal.SIGHUP)
        daemon.notify.wait_for("RELOADING=1")
        daemon.notify.wait_for("READY=1")
    assert "nothing has changed" not in daemon.stderr
    assert "Reading again has failed as before: Sysfs could not be read: " in daemon.stderr


def test_a_want_of_file_descriptors_takes_no_image_away_and_ends_by_itself(
    daemon: Daemon, client: Client, tree: Path
) -> None:
    before, image = client.get_all(), client.call("GetSetupData")
    plug(tree)
    with left_with(1, daemon.pid):  # which GLib takes, for the call that asks who is calling
        daemon.process.send_signal(signal.SIGHUP)
        daemon.notify.wait_for("RELOADING=1")
        status = daemon.notify.wait_for("READY=1")
        daemon.process.send_signal(signal.SIGHUP)
        daemon.notify.wait_for("RELOADING=1")
        daemon.notify.wait_for("READY=1")
        assert client.get_all() == before
        assert client.call("GetSetupData") == image
        with pytest.raises(Refused, match="too many open files") as refused:
            client.call("Refresh")
        assert refused.value.name == FAILED
    assert "This was read before; sysfs cannot be read for the moment" in status
    assert "too many open files; what was read before stays" in daemon.stderr
    assert "nothing has changed" not in daemon.stderr
    assert "Reading again has failed: Sysfs could not be read: " in daemon.stderr
    # Nobody asks from here on.
    ((generation, digest, changed),) = client.wait_for(MAP_CHANGED)
    assert (generation, digest, changed) == (2, before["Sha256"], ["memmap"])
    assert "read before" not in daemon.notify.wait_for("STATUS=EFI can be handed over")
