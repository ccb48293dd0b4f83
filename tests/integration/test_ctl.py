# SPDX-License-Identifier: LGPL-2.1-or-later
"""kexecprepctl as a user runs it: what it prints, and how it ends."""

import hashlib
import json
import os
import re
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kexecprepd.reading.kernel import file_load_obstacle, read_system
from tests.support.daemon import CHECKOUT, Daemon, running
from tests.support.notify_socket import DEADLINE
from tests.support.private_bus import PrivateBus
from tests.support.recordings import add_range, materialise, remove, set_region, write
from tests.support.schemas import conform

from .client import Client
from .unprivileged import SETPRIV, modules
from .watching import watch

pytestmark = pytest.mark.bus

JSON = ("--json=short", "--json=pretty")


def ctl(
    bus: PrivateBus, *arguments: str | Path, user: bool = False, data: bytes | None = None
) -> "subprocess.CompletedProcess[bytes]":
    """Run it to its end, as root or as a user without rights."""
    command = [sys.executable, "-m", "kexecprepd.ctl", *map(str, arguments)]
    return subprocess.run(
        [*SETPRIV, *command] if user else command,
        env={**bus.environment, "PYTHONPATH": str(modules() if user else CHECKOUT)},
        cwd="/" if user else CHECKOUT,
        capture_output=True,
        input=data,
        timeout=DEADLINE,
    )


def as_json(done: "subprocess.CompletedProcess[bytes]") -> Any:
    assert done.stderr == b""
    return json.loads(done.stdout)


@pytest.mark.parametrize("user", [False, True])
def test_status_is_the_default_and_for_everyone(
    daemon: Daemon, bus: PrivateBus, user: bool
) -> None:
    done = ctl(bus, user=user)
    assert done.returncode == 0
    assert b"State: ready\n" in done.stdout
    assert done.stdout == ctl(bus, "status", user=user).stdout


@pytest.mark.parametrize("mode", JSON)
def test_status_has_every_property(
    daemon: Daemon, bus: PrivateBus, client: Client, mode: str
) -> None:
    shown = as_json(ctl(bus, mode, "status"))
    for name, value in client.get_all().items():
        member = {"BootID": "boot-id"}.get(name, re.sub("(?<!^)(?=[A-Z])", "-", name).lower())
        assert shown[member] == (value or None if name == "Receipt" else value)
    assert (b"\n " in ctl(bus, "status", mode).stdout) is (mode == "--json=pretty")


@pytest.mark.parametrize("user", [False, True], ids=["root", "user"])
def test_what_is_json_keeps_to_its_schema(
    daemon: Daemon, bus: PrivateBus, top: Path, user: bool
) -> None:
    of_root: list[tuple[str, ...]] = [("map",), ("findings",), ("dump", str(top / "image"))]
    for command in [("status",), ("check",), *([] if user else of_root)]:
        done = ctl(bus, *command, "--json=short", user=user)
        assert done.returncode in (0, 8)
        conform(command[0], json.loads(done.stdout))


def test_status_tells_an_invalid_state_and_ends_with_0(
    daemon: Daemon, bus: PrivateBus, client: Client, tree: Path
) -> None:
    set_region(tree, 0, num_pages=0)
    client.call("Refresh")
    done = ctl(bus, "status")
    assert done.returncode == 0
    assert b"State: invalid\n" in done.stdout
    assert b"Image: none\n" in done.stdout


def test_map_shows_both_maps(daemon: Daemon, bus: PrivateBus, client: Client) -> None:
    shown = as_json(ctl(bus, "map", "--json=short"))
    names = ("number", "type", "phys-addr", "virt-addr", "num-pages", "attribute")
    regions = [tuple(region[n] for n in names) for region in shown["runtime-map"]]
    assert regions == client.call("GetRuntimeMap")
    ranges = [(r["start"], r["end"], r["type"]) for r in shown["memory-map"]]
    assert ranges == client.call("GetMemoryMap")
    text = ctl(bus, "map").stdout.decode()
    for region in shown["runtime-map"]:
        assert f"{region['virt-addr']:#018x}" in text
    for start, end, kind in ranges:
        assert re.search(rf"{start:#012x} +{end:#012x} +\S+ +{kind}", text)


def test_findings_have_a_hint_and_numbers(
    daemon: Daemon, bus: PrivateBus, client: Client, tree: Path
) -> None:
    set_region(tree, 1, num_pages=0)
    client.call("Refresh")
    done = ctl(bus, "findings")
    assert done.returncode == 0
    first = done.stdout.decode().splitlines()[:3]
    assert first[0].endswith("has no pages. [region-empty]")
    assert first[0].startswith("error: ")
    assert first[1].strip() != ""
    assert "num-pages=0" in first[2]
    shown = as_json(ctl(bus, "findings", "--json=short"))
    assert shown["findings"][0]["code"] == "region-empty"
    assert shown["findings"][0]["details"]["region"] == 1


def test_dump_writes_the_image_for_its_owner_alone(
    daemon: Daemon, bus: PrivateBus, client: Client, top: Path
) -> None:
    target = top / "image"
    assert ctl(bus, "dump", target).returncode == 0
    assert target.read_bytes() == (daemon.cache / "setup_data").read_bytes()
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    about = as_json(ctl(bus, "dump", target, "--json=short"))
    assert about["sha256"] == hashlib.sha256(target.read_bytes()).hexdigest()
    assert about["size"] == len(target.read_bytes())
    assert sorted(path.name for path in top.glob(".*")) == []


def test_dump_to_standard_output_is_the_image_and_nothing_else(
    daemon: Daemon, bus: PrivateBus
) -> None:
    assert ctl(bus, "dump", "-").stdout == (daemon.cache / "setup_data").read_bytes()


def test_dump_that_cannot_be_written_says_why(daemon: Daemon, bus: PrivateBus, top: Path) -> None:
    done = ctl(bus, "dump", top / "no/such/folder")
    assert done.returncode == 1
    assert b"cannot be written: no such file or directory" in done.stderr


@pytest.mark.parametrize("command", [["map"], ["findings"], ["dump", "-"]], ids=" ".join)
def test_a_user_is_denied_what_is_for_root_in_words(
    daemon: Daemon, bus: PrivateBus, command: list[str]
) -> None:
    done = ctl(bus, *command, user=True)
    assert (done.returncode, done.stdout) == (7, b"")
    assert b"Only root may ask for this" in done.stderr


def test_an_invalid_image_is_not_dumped_unless_forced(
    daemon: Daemon, bus: PrivateBus, client: Client, tree: Path, top: Path
) -> None:
    set_region(tree, 1, num_pages=0)
    client.call("Refresh")
    target = top / "image"
    done = ctl(bus, "dump", target)
    assert done.returncode == 4
    assert b"has no pages" in done.stderr
    assert not target.exists()
    forced = ctl(bus, "dump", "--force", target, "--root", tree)
    assert forced.returncode == 0
    assert b"Packed all the same" in forced.stderr
    assert len(target.read_bytes()) == 352


@pytest.mark.parametrize(
    "command",
    [["status"], ["check"], ["map"], ["findings"], ["dump", "-"], ["watch"]],
    ids=lambda command: command[0],
)
def test_without_a_daemon_every_command_says_so(bus: PrivateBus, command: list[str]) -> None:
    done = ctl(bus, *command)
    assert (done.returncode, done.stdout) == (6, b"")
    assert b"cannot be reached" in done.stderr
    assert b"Traceback" not in done.stderr


def test_in_the_journal_an_error_is_one(bus: PrivateBus, top: Path) -> None:
    with (top / "journal").open("wb") as stream:
        status = os.fstat(stream.fileno())
        told = {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}
        subprocess.run(
            [sys.executable, "-m", "kexecprepd.ctl", "status"],
            env={**bus.environment, **told},
            cwd=CHECKOUT,
            stdout=subprocess.DEVNULL,
            stderr=stream,
            timeout=DEADLINE,
        )
    lines = (top / "journal").read_text().splitlines()
    assert lines
    assert all(line.startswith("<3>") for line in lines)


def test_without_a_bus_it_says_so(bus: PrivateBus) -> None:
    bus.kill()
    done = ctl(bus, "status")
    assert done.returncode == 6
    assert b"the system bus cannot be reached" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["bogus"],
        ["status", "--json=loud"],
        ["dump"],
        ["map", "more"],
        ["dump", "-", "--json=short"],
    ],
    ids=" ".join,
)
def test_wrong_usage_ends_with_2(daemon: Daemon, bus: PrivateBus, arguments: list[str]) -> None:
    done = ctl(bus, *arguments)
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"Traceback" not in done.stderr


def test_watch_prints_each_change_once(
    daemon: Daemon, bus: PrivateBus, client: Client, tree: Path
) -> None:
    with watch(bus, "--json=short") as watching:
        for number in range(2):
            add_range(tree, (8 + number) << 30, ((9 + number) << 30) - 1, "System RAM")
            client.call("Refresh")
        changes = [json.loads(watching.stdout.next()) for _ in range(2)]
        for change in changes:
            conform("watch", change)
        watching.process.send_signal(signal.SIGINT)
        assert watching.process.wait(DEADLINE) == 0
        assert watching.stdout.rest() == ""
    assert [(c["generation"], c["changed"], c["state"]) for c in changes] == [
        (2, ["memmap"], "ready"),
        (3, ["memmap"], "ready"),
    ]


def test_watch_waits_for_a_daemon_that_stops(
    bus: PrivateBus, top: Path, tree: Path, client: Client
) -> None:
    with running(top, tree, bus.environment) as daemon, watch(bus) as watching:
        daemon.stop()
        assert watching.stderr.next() == "The daemon has stopped; waiting for it.\n"
        again = top / "again"
        again.mkdir()
        with running(again, tree, bus.environment):
            assert watching.stderr.next() == "The daemon is back.\n"
            add_range(tree, 8 << 30, (9 << 30) - 1, "System RAM")
            client.call("Refresh")
            assert "generation 2: memmap changed; ready" in watching.stdout.next()


def test_watch_ends_with_6_when_the_bus_goes(daemon: Daemon, bus: PrivateBus) -> None:
    with watch(bus) as watching:
        bus.kill()
        assert watching.process.wait(DEADLINE) == 6
    daemon.wait()


CHECKS: dict[str, tuple[int, Callable[[Path], object]]] = {
    "ready": (0, lambda tree: None),
    "degraded": (3, lambda tree: write(tree, "sys/firmware/efi/systab", "SMBIOS=0x7f520000\n")),
    "invalid": (4, lambda tree: set_region(tree, 1, num_pages=0)),
    "unsupported": (5, lambda tree: remove(tree, "sys/firmware/efi")),
}


@pytest.mark.parametrize("state", CHECKS)
def test_check_ends_by_the_state_and_has_everything(
    daemon: Daemon, bus: PrivateBus, client: Client, tree: Path, state: str
) -> None:
    code, damage = CHECKS[state]
    damage(tree)
    client.call("Refresh")
    done = ctl(bus, "check")
    # What this very machine allows of kexec counts, too.
    refused = file_load_obstacle(read_system(Path("/"))) is not None
    assert done.returncode == (8 if refused and code in (0, 3) else code)
    assert done.stdout.decode().startswith(f"{state}: ")
    shown = json.loads(ctl(bus, "check", "--json=short").stdout)
    assert shown["state"] == state
    assert shown["reason"] == client.get_all()["Reason"]
    assert [f["code"] for f in shown["findings"]] == [f[1] for f in client.call("GetFindings")]
    assert all(f["hint"] for f in shown["findings"])
    for name in ("region-count", "warning-count", "error-count"):
        assert shown[name] == client.get(name.title().replace("-", ""))
    assert "kexec-load-allowed" in shown["system"]


def test_check_tells_a_user_the_state_without_the_findings(daemon: Daemon, bus: PrivateBus) -> None:
    done = ctl(bus, "check", user=True)
    assert done.returncode in (0, 8)
    assert b"for root alone" in done.stderr
    shown = json.loads(ctl(bus, "check", "--json=short", user=True).stdout)
    assert (shown["findings"], shown["error-count"]) == (None, 0)


def test_with_root_a_tree_is_judged_without_a_daemon(bus: PrivateBus, top: Path) -> None:
    mixed = materialise("deb12-6.1-ovmf32-mixed", top / "mixed")
    assert ctl(bus, "check", "--root", mixed).returncode == 5
    assert len(json.loads(ctl(bus, "--root", mixed, "--json=short", "map").stdout)["memory-map"])
    denied = ctl(bus, "findings", "--root", mixed, user=True)
    assert denied.returncode == 7
    assert b"permission denied" in denied.stderr


def test_output_that_nobody_reads_brings_no_traceback(daemon: Daemon, bus: PrivateBus) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "wb") as closed:
        process = subprocess.run(
            [sys.executable, "-m", "kexecprepd.ctl", "map"],
            env=bus.environment,
            cwd=CHECKOUT,
            stdout=closed,
            stderr=subprocess.PIPE,
        )
    assert process.stderr == b""
