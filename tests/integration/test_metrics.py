# SPDX-License-Identifier: LGPL-2.1-or-later
"""kexecprepctl metrics: what Prometheus is told, as its own promtool reads it."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.support.daemon import CHECKOUT, Daemon, running
from tests.support.notify_socket import DEADLINE
from tests.support.private_bus import PrivateBus
from tests.support.receipts import add_receipt
from tests.support.recordings import (
    KEXEC_SYSCALL,
    NO_RUNTIME,
    materialise,
    remove,
    set_region,
    write,
)

from .client import Client
from .live import Done, make_live, refusal, run_ctl

pytestmark = pytest.mark.bus

EXAMPLE = CHECKOUT / "examples/kexecprepd-metrics.service"


def values(done: Done) -> dict[str, float]:
    """Every sample by its name and labels; promtool has nothing to say against the text."""
    assert (done.returncode, done.stderr) == (0, "")
    checked = subprocess.run(
        ["promtool", "check", "metrics"],
        input=done.stdout,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")
    lines = (line for line in done.stdout.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def test_a_healthy_machine_is_told_in_numbers(
    bus: PrivateBus, daemon: Daemon, client: Client, tree: Path
) -> None:
    make_live(tree)

    told = values(run_ctl(tree, bus.environment, "metrics"))

    states = {name: value for name, value in told.items() if name.startswith("kexecprepd_state")}
    assert states == {
        'kexecprepd_state{state="ready"}': 1,
        'kexecprepd_state{state="degraded"}': 0,
        'kexecprepd_state{state="invalid"}': 0,
        'kexecprepd_state{state="unsupported"}': 0,
    }
    assert told['kexecprepd_findings{severity="error"}'] == 0
    assert told['kexecprepd_findings{severity="info"}'] == len(client.call("GetFindings"))
    assert told["kexecprepd_generation"] == 1
    assert told["kexecprepd_runtime_regions"] == client.get("RegionCount")
    assert told["kexecprepd_snapshot_timestamp_seconds"] == client.get("SnapshotTimestamp") / 1e6
    assert told["kexecprepd_started_by_kexec"] == told["kexecprepd_kexecs"] == 0
    assert told["kexecprepd_kernel_loaded"] == 0
    assert not {"kexecprepd_kernel_stale", "kexecprepd_handover_arrived"} & set(told)


def test_a_chain_of_kexecs_is_counted(bus: PrivateBus, top: Path, client: Client) -> None:
    tree = make_live(materialise(KEXEC_SYSCALL, top / "root"))
    add_receipt(tree, kexec_count=3)
    with running(top, tree, bus.environment):
        told = values(run_ctl(tree, bus.environment, "metrics"))

    assert told["kexecprepd_started_by_kexec"] == 1
    assert told["kexecprepd_kexecs"] == 3
    assert told["kexecprepd_handover_arrived"] == 1


def test_what_is_not_known_is_left_out(bus: PrivateBus, top: Path) -> None:
    tree = make_live(materialise(KEXEC_SYSCALL, top / "root"))
    write(tree, "sys/kernel/kexec_loaded", "1\n")
    with running(top, tree, bus.environment):
        told = values(run_ctl(tree, bus.environment, "metrics"))

    assert told["kexecprepd_kernel_loaded"] == 1  # by something else, so not known to be stale
    unknown = {"kexecprepd_kexecs", "kexecprepd_handover_arrived", "kexecprepd_kernel_stale"}
    assert not unknown & set(told)


@pytest.mark.parametrize("state", ["invalid", "unsupported"])
def test_every_state_has_its_numbers(state: str, bus: PrivateBus, top: Path, tree: Path) -> None:
    if state == "invalid":
        set_region(tree, 1, num_pages=0)
    else:
        remove(tree, "sys")
        remove(tree, "proc")
        materialise(NO_RUNTIME, tree)
    make_live(tree)
    with running(top, tree, bus.environment):
        told = values(run_ctl(tree, bus.environment, "metrics"))

    assert told[f'kexecprepd_state{{state="{state}"}}'] == 1


def test_a_user_without_rights_is_told_less_and_no_address(
    bus: PrivateBus, daemon: Daemon, tree: Path
) -> None:
    make_live(tree)

    done = run_ctl(tree, bus.environment, "metrics", user=True)

    assert 'kexecprepd_findings{severity="info"}' not in values(done)
    assert not re.search("0x", done.stdout)


def test_without_a_daemon_there_are_no_numbers(bus: PrivateBus, tree: Path) -> None:
    make_live(tree)

    assert "cannot be reached" in refusal(run_ctl(tree, bus.environment, "metrics"), 6)


def test_json_is_refused(bus: PrivateBus, tree: Path) -> None:
    make_live(tree)

    done = run_ctl(tree, bus.environment, "metrics", "--json=short")

    assert "cannot be JSON" in refusal(done, 2)


def line(name: str) -> str:
    """The shell command of a line of the example, as systemd gives it to the shell."""
    match = re.search(rf"^{name}=/bin/sh -c '(.*)'$", EXAMPLE.read_text(), re.MULTILINE)
    assert match
    return match[1]


@pytest.mark.parametrize("code", [0, 6])
def test_the_example_leaves_whole_metrics_or_none(code: int, top: Path) -> None:
    (top / "kexecprepctl").write_text(f"#!/bin/sh\necho metrics\nexit {code}\n")
    (top / "kexecprepctl").chmod(0o755)
    folder = top / "collector"
    folder.mkdir()
    (folder / "kexecprepd.prom").write_text("of an hour ago\n")
    environment = {"PATH": f"{top}:{os.environ['PATH']}", "FOLDER": str(folder)}

    done = subprocess.run(["sh", "-c", line("ExecStart")], env=environment, timeout=DEADLINE)
    environment["SERVICE_RESULT"] = "exit-code" if code else "success"
    subprocess.run(["sh", "-c", line("ExecStopPost")], env=environment, timeout=DEADLINE)

    assert done.returncode == code
    left = {each.name: each.read_text() for each in folder.iterdir()}
    assert left == ({} if code else {"kexecprepd.prom": "metrics\n"})
