# SPDX-License-Identifier: LGPL-2.1-or-later
"""The service on a real kernel, real firmware and a real system bus, in one boot."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from . import expected
from .guest import Guest

pytestmark = pytest.mark.vm

NAME = ["org.kexecprepd1", "/org/kexecprepd1", "org.kexecprepd1.Manager"]
ROOT_ONLY = {
    "GetSetupData": [],
    "PlaceSetupData": ["tt", "16777216", "0"],
    "OpenSetupData": [],
    "GetRuntimeMap": [],
    "GetMemoryMap": [],
    "GetExcludedRanges": [],
    "GetFindings": [],
    "Refresh": [],
}


def call(guest: Guest, member: str, *arguments: str) -> list[Any]:
    """What a member answers to root, over the real bus."""
    command = ["busctl", "--json=short", "call", *NAME, member, *arguments]
    data: list[Any] = json.loads(guest.run(command).stdout)["data"]
    return data


def properties(guest: Guest, user: str | None = None) -> dict[str, Any]:
    """Every property, as kexecprepctl has them."""
    shown: dict[str, Any] = json.loads(
        guest.run(["kexecprepctl", "status", "--json=short"], user=user).stdout
    )
    return shown


def journal(guest: Guest, unit: str, cursor: str = "") -> str:
    """A unit's log."""
    after = [f"--after-cursor={cursor}"] if cursor else []
    return guest.run(["journalctl", "-o", "cat", "-u", unit, *after]).stdout


def cursor_now(guest: Guest) -> str:
    """Where the journal ends at present."""
    shown = guest.run(["journalctl", "-n", "0", "--show-cursor"]).stdout
    return shown.split("-- cursor: ")[1].strip()


def wait_for(condition: Callable[[], bool], what: str, timeout: float = 60) -> None:
    """Ask again until the condition holds."""
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end, f"{what}: still not so after {timeout:g} s"
        time.sleep(0.2)


@contextmanager
def watching(guest: Guest) -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """`kexecprepctl watch` of an unprivileged user; call the value for what it printed so far."""
    unit, start = "kexecprep-watch", cursor_now(guest)
    guest.run(
        ["systemd-run", f"--unit={unit}", "--uid=tester", "kexecprepctl", "watch", "--json=short"]
    )
    try:
        wait_for(lambda: "Watching" in journal(guest, unit, start), "watch has begun")
        yield lambda: [
            json.loads(line)
            for line in journal(guest, unit, start).splitlines()
            if line.startswith("{")
        ]
    finally:
        guest.run(["systemctl", "stop", unit])


def test_busctl_gets_the_image_that_sysfs_amounts_to(guest: Guest) -> None:
    data, info = call(guest, "GetSetupData")
    assert bytes(data) == expected.image(guest)
    assert info["sha256"]["data"] == hashlib.sha256(bytes(data)).hexdigest()


def test_the_cache_holds_the_same_image_for_root_alone(guest: Guest) -> None:
    assert guest.read_file("/run/kexecprepd/setup_data") == expected.image(guest)
    shown = guest.run(
        ["stat", "-L", "-c", "%a %U", "/run/kexecprepd", "/run/kexecprepd/setup_data"]
    )
    assert shown.stdout.split() == ["700", "kexecprepd", "400", "kexecprepd"]


def test_the_maps_are_those_of_sysfs(guest: Guest) -> None:
    (regions,) = call(guest, "GetRuntimeMap")
    names = ("number", "type", "phys_addr", "virt_addr", "num_pages", "attribute")
    assert regions == [[r[n] for n in names] for r in expected.runtime_regions(guest)]
    (ranges,) = call(guest, "GetMemoryMap")
    values = expected.sysfs_values(guest, "/sys/firmware/memmap")
    count = len({path.split("/")[0] for path in values})
    assert ranges == [
        [int(values[f"{n}/start"], 16), int(values[f"{n}/end"], 16), values[f"{n}/type"]]
        for n in range(count)
    ]


def test_a_plain_guest_is_ready_without_a_warning(guest: Guest) -> None:
    shown = properties(guest)
    assert (shown["State"], shown["WarningCount"], shown["ErrorCount"]) == ("ready", 0, 0)
    (findings,) = call(guest, "GetFindings")
    assert {severity for severity, *_ in findings} <= {"info"}


def test_check_says_yes_and_what_the_kernel_allows(guest: Guest) -> None:
    done = guest.run(["kexecprepctl", "check", "--json=short"])
    system = json.loads(done.stdout)["system"]
    assert system["kexec-load-allowed"] is True
    assert (system["has-kexec"], system["kernel-loaded"]) == (True, False)
    assert (system["started-by-kexec"], system["lockdown"]) == (False, "none")
    assert guest.run(["kexecprepctl", "check"], user="tester").stdout.startswith("ready: Yes")


def test_the_service_is_not_root_and_has_one_capability(guest: Guest) -> None:
    pid = guest.run(["systemctl", "show", "-P", "MainPID", "kexecprepd"]).stdout.strip()
    status = guest.read_file(f"/proc/{pid}/status").decode()
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert "0" not in fields["Uid"].split()
    dac_read_search = 1 << 2
    assert {int(fields[name], 16) for name in ("CapEff", "CapPrm", "CapBnd")} == {dac_read_search}
    assert fields["NoNewPrivs"] == "1"


def test_the_exposure_is_low(guest: Guest) -> None:
    guest.run(["systemd-analyze", "security", "--threshold=15", "kexecprepd.service"])


def test_systemd_accepts_the_unit_without_a_word(guest: Guest) -> None:
    path = "/usr/lib/systemd/system/kexecprepd.service"
    done = guest.run(["systemd-analyze", "verify", "--man=no", path])
    assert done.stdout + done.stderr == ""


@pytest.mark.parametrize("member", ROOT_ONLY)
def test_an_unprivileged_user_is_refused_what_is_for_root(guest: Guest, member: str) -> None:
    command = ["busctl", "call", *NAME, member, *ROOT_ONLY[member]]
    done = guest.run(command, user="tester", check=False)
    assert done.returncode != 0
    assert "Access denied" in done.stderr
    assert done.stdout == ""


def test_an_unprivileged_user_sees_the_state_and_no_address(guest: Guest) -> None:
    assert properties(guest, user="tester") == properties(guest)
    texts = [
        guest.run(["kexecprepctl", "status"], user="tester").stdout,
        guest.run(["systemctl", "status", "kexecprepd"], user="tester").stdout,
        guest.run(["kexecprepctl", "map"], user="tester", check=False).stderr,
        journal(guest, "kexecprepd"),
    ]
    addresses = {
        region[name]
        for region in expected.runtime_regions(guest)
        for name in ("phys_addr", "virt_addr")
        if region[name] >= 0x1000
    }
    for text in texts:
        assert not re.search(r"0x[0-9a-f]{4,}", text)
        assert not addresses & {int(number) for number in re.findall(r"\d+", text)}


def test_kexecprepctl_refuses_with_exit_code_7(guest: Guest) -> None:
    assert guest.run(["kexecprepctl", "map"], user="tester", check=False).returncode == 7


def test_plugged_in_memory_brings_exactly_one_mapchanged(guest: Guest) -> None:
    start = properties(guest)["Generation"]
    with watching(guest) as changes:
        for generation in (start + 1, start + 2):
            before = len(call(guest, "GetMemoryMap")[0])
            guest.hot_add_memory(512)
            wait_for(lambda g=generation: properties(guest)["Generation"] >= g, "a new generation")  # type: ignore[misc]
            assert len(call(guest, "GetMemoryMap")[0]) == before + 1
        assert call(guest, "Refresh") == [start + 2]
        wait_for(lambda: len(changes()) >= 2, "watch has printed both")
        assert [(c["generation"], c["changed"]) for c in changes()] == [
            (start + 1, ["memmap"]),
            (start + 2, ["memmap"]),
        ]
    assert properties(guest)["State"] == "ready"


def test_a_restart_adopts_the_cache(guest: Guest) -> None:
    before, start = properties(guest), cursor_now(guest)
    guest.run(["systemctl", "restart", "kexecprepd"])
    assert properties(guest) == before
    assert f"Adopted the cache of generation {before['Generation']}" in journal(
        guest, "kexecprepd", start
    )


def test_a_reload_reads_again_and_ends_ready(guest: Guest) -> None:
    before, start = properties(guest), cursor_now(guest)
    guest.run(["systemctl", "reload", "kexecprepd"])
    wait_for(
        lambda: "Read everything again" in journal(guest, "kexecprepd", start), "it has reloaded"
    )
    assert guest.run(["systemctl", "is-active", "kexecprepd"]).stdout == "active\n"
    assert properties(guest) == before
    text = guest.run(["systemctl", "show", "-P", "StatusText", "kexecprepd"]).stdout.strip()
    assert text == before["Reason"]


def test_a_stopped_service_leaves_its_cache_and_is_started_by_the_bus(guest: Guest) -> None:
    before = properties(guest)
    guest.run(["systemctl", "stop", "kexecprepd"])
    assert guest.read_file("/run/kexecprepd/setup_data") == expected.image(guest)
    assert properties(guest, user="tester") == before


def test_the_log_level_follows_systemctl(guest: Guest) -> None:
    level = ["systemctl", "service-log-level", "kexecprepd"]
    guest.run([*level, "debug"])
    assert guest.run(level).stdout == "debug\n"
    guest.run([*level, "info"])


@pytest.mark.parametrize(
    "command", [["cat", "/etc/shadow"], ["ls", "-A", "/var"], ["ls", "-A", "/home"]], ids=" ".join
)
def test_the_service_sees_nothing_of_what_it_could_read(guest: Guest, command: list[str]) -> None:
    assert guest.run(command).stdout != ""
    pid = guest.run(["systemctl", "show", "-P", "MainPID", "kexecprepd"]).stdout.strip()
    inside = guest.run(["nsenter", f"--target={pid}", "--mount", *command], check=False)
    assert inside.stdout == ""
