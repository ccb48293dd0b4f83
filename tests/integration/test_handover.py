# SPDX-License-Identifier: LGPL-2.1-or-later
"""GetHandover: all that a load depends on in one answer, and the digest that tells it apart."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from gi.repository import GLib

from tests.support.daemon import Daemon, running
from tests.support.private_bus import PrivateBus
from tests.support.recordings import add_range, set_memory_blocks, write

from .client import Client, Refused

pytestmark = pytest.mark.bus

GIB = 1 << 30
BLOCK = 128 << 20
UNPLUGGED = (6 * GIB, 7 * GIB - 1)


def unplug(root: Path) -> None:
    """System RAM up to 8 GiB in the map, of which one GiB is not there any more."""
    add_range(root, 4 * GIB, 8 * GIB - 1, "System RAM")
    first, last = (address // BLOCK for address in UNPLUGGED)
    set_memory_blocks(root, BLOCK, (n for n in range(64) if not first <= n <= last))


def digest(client: Client) -> str:
    info: dict[str, Any] = client.call("GetHandover")[2]
    return str(info["handover-sha256"])


def test_it_is_what_the_other_calls_say_of_a_machine_that_has_all_its_memory(
    daemon: Daemon, client: Client
) -> None:
    body, _ = client.reply("GetHandover")
    assert body.get_type_string() == "(aya(tts)a{sv})"
    image, memory_map, info = body.unpack()
    assert (image, info) == client.call("GetSetupData")
    assert memory_map == sorted(client.call("GetMemoryMap"))


def test_memory_that_is_not_there_is_left_out_and_excluded(
    bus: PrivateBus, top: Path, tree: Path, client: Client
) -> None:
    unplug(tree)
    with running(top, tree, bus.environment):
        _, memory_map, info = client.call("GetHandover")
        assert (4 * GIB, 8 * GIB - 1, "System RAM") in client.call("GetMemoryMap")
        assert [each for each in memory_map if each[0] >= 4 * GIB] == [
            (4 * GIB, 6 * GIB - 1, "System RAM"),
            (7 * GIB, 8 * GIB - 1, "System RAM"),
        ]
        excluded = (*UNPLUGGED, "memory that is not present")
        assert excluded in info["excluded-ranges"]
        assert excluded in client.call("GetExcludedRanges")
        with pytest.raises(Refused, match="not present") as refused:
            client.call("PlaceSetupData", GLib.Variant("(tt)", (UNPLUGGED[0], 0)))
        assert refused.value.name == "org.kexecprepd1.Error.InvalidArgs"


@pytest.mark.parametrize("option", ["mem=6G", "memmap=1G$6G"])
def test_memory_that_the_command_line_takes_away_is_not_absent(
    bus: PrivateBus, top: Path, tree: Path, client: Client, option: str
) -> None:
    unplug(tree)
    write(tree, "proc/cmdline", f"quiet {option}\n")
    with running(top, tree, bus.environment):
        _, memory_map, _ = client.call("GetHandover")
        assert (4 * GIB, 8 * GIB - 1, "System RAM") in memory_map
        client.call("PlaceSetupData", GLib.Variant("(tt)", (UNPLUGGED[0], 0)))


def test_the_digest_tells_what_the_image_s_does_not(
    daemon: Daemon, client: Client, tree: Path
) -> None:
    before, sha256 = digest(client), client.get("Sha256")
    set_memory_blocks(tree, BLOCK, range(16))
    client.call("Refresh")
    assert digest(client) == before

    unplug(tree)
    client.call("Refresh")
    unplugged = digest(client)
    assert unplugged != before

    set_memory_blocks(tree, BLOCK, range(64))
    client.call("Refresh")
    assert digest(client) not in (before, unplugged)
    assert client.get("Sha256") == sha256


def test_the_digest_is_the_same_after_a_start_over(
    bus: PrivateBus, top: Path, tree: Path, client: Client
) -> None:
    with running(top, tree, bus.environment) as daemon:
        before = digest(client)
        write(tree, "sys/hypervisor/type", "kvm\n")
        assert client.call("Refresh") == 2
        cached = json.loads((daemon.cache / "snapshot.json").read_text())["info"]
        assert cached["handover-sha256"] == digest(client) == before
        assert len(before) == hashlib.sha256().digest_size * 2
        daemon.stop()
        (daemon.cache / "snapshot.json").resolve().unlink()
    with running(top, tree, bus.environment):
        assert client.get("Generation") == 1
        assert digest(client) == before
