# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the daemon answers in each state, and LogControl1."""

import json
from pathlib import Path

import pytest
from gi.repository import GLib

from kexecprepd.wire.names import LOG_CONTROL
from tests.support.daemon import Daemon, running
from tests.support.private_bus import PrivateBus
from tests.support.recordings import add_range, materialise, remove, set_region, write

from .client import Client, Refused

pytestmark = pytest.mark.bus

INVALID = "org.kexecprepd1.Error.Invalid"
UNSUPPORTED = "org.kexecprepd1.Error.Unsupported"
INVALID_ARGS = "org.kexecprepd1.Error.InvalidArgs"

IMAGE_METHODS = {
    "GetSetupData": None,
    "PlaceSetupData": GLib.Variant("(tt)", (0x1000_0000, 0)),
    "GetHandover": None,
    "OpenSetupData": None,
    "GetExcludedRanges": None,
}


def refusals(client: Client) -> set[tuple[str, str]]:
    """The errors that everything which needs an image brings: name and text."""
    found = set()
    for method, arguments in IMAGE_METHODS.items():
        with pytest.raises(Refused) as refused:
            client.call(method, arguments)
        found.add((refused.value.name, str(refused.value)))
    return found


def test_an_invalid_map_is_refused_in_words(
    bus: PrivateBus, top: Path, tree: Path, client: Client
) -> None:
    set_region(tree, 0, num_pages=0)
    set_region(tree, 1, virt_addr=0x1000)
    with running(top, tree, bus.environment) as daemon:
        properties = client.get_all()
        assert properties["State"] == "invalid"
        assert properties["ErrorCount"] == 2
        assert properties["Sha256"] == ""
        assert refusals(client) == {(INVALID, properties["Reason"])}
        assert "has no pages; and there is another error" in properties["Reason"]
        findings = client.call("GetFindings")
        assert {code for severity, code, _, _ in findings if severity == "error"} == {
            "region-empty",
            "virt-outside-window",
        }
        assert all(details["hint"] for *_, details in findings)
        assert len(client.call("GetRuntimeMap")) == 6
        assert not (daemon.cache / "setup_data").exists()
        assert json.loads((daemon.cache / "snapshot.json").read_text())["state"] == "invalid"


def test_findings_carry_their_numbers_as_uint64(
    bus: PrivateBus, top: Path, tree: Path, client: Client
) -> None:
    set_region(tree, 1, virt_addr=0x1000)
    with running(top, tree, bus.environment):
        _, code, _, details = client.call("GetFindings")[0]
        assert code == "virt-outside-window"  # the worst comes first
        assert details["virt-addr"] == 0x1000
        body, _ = client.reply("GetFindings")
        assert "'virt-addr': <uint64 4096>" in body.print_(True)


def test_a_degraded_map_is_served(bus: PrivateBus, top: Path, tree: Path, client: Client) -> None:
    write(tree, "sys/firmware/efi/runtime", "0xffffffff12345678\n")
    with running(top, tree, bus.environment):
        assert client.get("State") == "degraded"
        assert client.get("WarningCount") == 1
        assert "The runtime services table lies at no address" in client.get("Reason")
        assert client.call("GetSetupData")[1]["state"] == "degraded"


@pytest.mark.parametrize(
    ("recording", "words"),
    [
        ("deb12-6.1-ovmf-q35-noruntime", "switches the EFI runtime services off"),
        ("deb12-6.1-ovmf32-mixed", "32-bit"),
    ],
)
def test_an_unsupported_system_is_told_why(
    bus: PrivateBus, top: Path, client: Client, recording: str, words: str
) -> None:
    root = materialise(recording, top / "root")
    with running(top, root, bus.environment) as daemon:
        assert client.get("State") == "unsupported"
        assert words in client.get("Reason")
        assert refusals(client) == {(UNSUPPORTED, client.get("Reason"))}
        assert not (daemon.cache / "setup_data").exists()


def test_a_machine_without_efi_is_answered(
    bus: PrivateBus, top: Path, tree: Path, client: Client
) -> None:
    remove(tree, "sys/firmware/efi")
    with running(top, tree, bus.environment):
        assert client.get("State") == "unsupported"
        assert client.call("GetRuntimeMap") == []
        assert len(client.call("GetMemoryMap")) == 16
        assert client.get("RegionCount") == 0


def test_sysfs_that_cannot_be_read_is_invalid_and_named(
    bus: PrivateBus, top: Path, tree: Path, client: Client
) -> None:
    remove(tree, "sys/firmware/efi/runtime-map/2/virt_addr")
    with running(top, tree, bus.environment):
        assert client.get("State") == "invalid"
        reason = client.get("Reason")
        assert "runtime-map/2/virt_addr" in reason
        assert refusals(client) == {(INVALID, reason)}
        with pytest.raises(Refused) as refused:
            client.call("GetMemoryMap")
        assert refused.value.name == INVALID
        ((severity, code, _, details),) = client.call("GetFindings")
        assert (severity, code) == ("error", "sysfs-missing")
        assert details["path"].endswith("runtime-map/2/virt_addr")


def test_a_daemon_recovers_once_sysfs_can_be_read(
    bus: PrivateBus, top: Path, tree: Path, client: Client
) -> None:
    phys_addr = (tree / "sys/firmware/efi/runtime-map/2/phys_addr").read_text()
    write(tree, "sys/firmware/efi/runtime-map/2/phys_addr", "nonsense\n")
    with running(top, tree, bus.environment) as daemon:
        assert client.get("State") == "invalid"
        write(tree, "sys/firmware/efi/runtime-map/2/phys_addr", phys_addr)
        assert client.call("Refresh") == 2
        assert client.get("State") == "ready"
        image, _ = client.call("GetSetupData")
        assert (daemon.cache / "setup_data").read_bytes() == bytes(image)


def test_a_daemon_serves_nothing_stale_once_sysfs_breaks(
    daemon: Daemon, client: Client, tree: Path
) -> None:
    set_region(tree, 0, num_pages=0)
    assert client.call("Refresh") == 2
    assert {name for name, _ in refusals(client)} == {INVALID}
    assert not (daemon.cache / "setup_data").exists()


def test_the_log_level_can_be_changed_while_it_runs(
    daemon: Daemon, client: Client, tree: Path
) -> None:
    assert client.get_all(LOG_CONTROL) == {
        "LogLevel": "info",
        "LogTarget": "console",
        "SyslogIdentifier": "kexecprepd",
    }
    client.set("LogLevel", "err")
    assert client.get("LogLevel", LOG_CONTROL) == "err"
    before = daemon.stderr
    add_range(tree, 0x1_0000_0000, 0x1_3FFF_FFFF, "System RAM")
    client.call("Refresh")
    assert daemon.stderr == before
    client.set("LogLevel", "info")
    add_range(tree, 0x1_4000_0000, 0x1_7FFF_FFFF, "System RAM")
    client.call("Refresh")
    assert "Changed: memmap" in daemon.stderr


@pytest.mark.parametrize("name", ["LogLevel", "LogTarget"])
def test_log_control_refuses_what_it_does_not_know(
    daemon: Daemon, client: Client, name: str
) -> None:
    before = client.get_all(LOG_CONTROL)
    with pytest.raises(Refused) as refused:
        client.set(name, "loud")
    assert refused.value.name == INVALID_ARGS
    assert client.get_all(LOG_CONTROL) == before


def test_the_present_log_target_can_be_set(daemon: Daemon, client: Client) -> None:
    client.set("LogTarget", "console")
    client.set("LogTarget", "auto")
    assert client.get("LogTarget", LOG_CONTROL) == "console"
