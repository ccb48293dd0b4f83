# SPDX-License-Identifier: LGPL-2.1-or-later
"""Memory comes and goes under a kernel that is loaded: it is loaded again, and never panics."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.lab.environment import console_log
from tests.lab.guest import Guest
from tests.lab.image import get_image

from .project import Installations
from .service import call, cursor_now, journal, show, wait_for

pytestmark = [pytest.mark.vm, pytest.mark.parametrize("release", ["trixie"], indirect=True)]

DIMM_MIB = 256
PATH, SERVICE = "kexecprepd-reload.path", "kexecprepd-reload.service"
RECORD = "/run/kexecprepctl/loaded.json"
KERNEL = "/run/vmlinuz"


@pytest.fixture(scope="module")
def reloading(release: str, installations: Installations) -> Iterator[Guest]:
    """A guest of its own for the tests of this module, one after the other."""
    disk, log = installations.of(release).disk, console_log(f"reload-{release}")
    with Guest(get_image(release), disk=disk, log=log) as guest:
        guest.make_new_memory_removable()
        release = guest.run(["uname", "-r"]).stdout.strip()
        guest.run(["cp", f"/boot/vmlinuz-{release}", KERNEL])
        yield guest


def load(guest: Guest) -> None:
    """`kexecprepctl load` of the guest's own kernel and initrd."""
    release = guest.run(["uname", "-r"]).stdout.strip()
    initrd = f"/boot/initrd.img-{release}"
    command = ["kexecprepctl", "load", KERNEL, "--initrd", initrd, "--reuse-cmdline"]
    guest.run(command, timeout=900)


def told(guest: Guest) -> dict[str, Any]:
    """What `check` tells of the kernel that is loaded."""
    shown = guest.run(["kexecprepctl", "check", "--json=short"], check=False, timeout=900).stdout
    return dict(json.loads(shown)["loaded"])


def digest(guest: Guest) -> str:
    """Of what the kernel that is loaded was loaded for."""
    return str(json.loads(guest.read_file(RECORD))["handover-sha256"])


def ranges(guest: Guest) -> int:
    """How many ranges the kernel's memory map has."""
    return len(guest.run(["ls", "/sys/firmware/memmap"]).stdout.split())


def plug(guest: Guest) -> str:
    """Plug a DIMM in, and wait until the kernel has it."""
    before = ranges(guest)
    name = guest.hot_add_memory(DIMM_MIB)
    wait_for(lambda: ranges(guest) == before + 1, "the kernel has the DIMM")
    return name


def last_start(guest: Guest) -> str:
    """When the service was started the last time, in microseconds since the boot."""
    return show(guest, SERVICE)["ExecMainStartTimestampMonotonic"]


def settle(guest: Guest) -> None:
    """Wait until the daemon has seen the last change, and what is loaded is true again."""
    call(guest, "Refresh")

    def settled() -> bool:
        (_, _, info) = call(guest, "GetHandover")
        true = info["handover-sha256"]["data"] == digest(guest)
        return true and show(guest, SERVICE)["ActiveState"] == "inactive"

    wait_for(settled, "what is loaded is true", timeout=900)
    assert told(guest)["stale"] is False
    assert guest.read_file("/sys/kernel/kexec_loaded") == b"1\n"


def test_where_nothing_is_loaded_nothing_runs(reloading: Guest) -> None:
    looked = "ConditionTimestampMonotonic"
    before = show(reloading, SERVICE)[looked]
    plug(reloading)
    call(reloading, "Refresh")
    wait_for(lambda: show(reloading, SERVICE)[looked] != before, "systemd has looked")

    assert show(reloading, SERVICE)["ConditionResult"] == "no"
    assert last_start(reloading) == "0"
    assert reloading.run(["kexecprepctl", "status"]).stdout.count("Loaded: no\n") == 1
    assert show(reloading, PATH)["ActiveState"] == "active"


def test_systemd_accepts_the_units_without_a_word(reloading: Guest) -> None:
    units = [f"/usr/lib/systemd/system/{each}" for each in (PATH, SERVICE)]
    done = reloading.run(["systemd-analyze", "verify", "--man=no", *units])
    assert done.stdout + done.stderr == ""
    assert reloading.run(["systemctl", "is-enabled", PATH]).stdout == "enabled\n"


def test_a_change_has_it_loaded_again(reloading: Guest) -> None:
    load(reloading)
    before, start = digest(reloading), cursor_now(reloading, SERVICE)
    name = plug(reloading)
    settle(reloading)
    between = digest(reloading)
    reloading.hot_remove_memory(name)
    settle(reloading)

    assert digest(reloading) == before != between
    assert "Loaded Linux" in journal(reloading, SERVICE, start)


def test_ten_changes_in_a_row_leave_it_true(reloading: Guest) -> None:
    before = digest(reloading)
    names = [plug(reloading) for _ in range(5)]
    for name in names:
        reloading.hot_remove_memory(name)
    settle(reloading)

    assert digest(reloading) == before


def test_a_change_while_it_loads_is_not_lost(reloading: Guest) -> None:
    before, started = digest(reloading), last_start(reloading)
    name = plug(reloading)
    wait_for(lambda: last_start(reloading) != started, "it loads")
    reloading.hot_remove_memory(name)
    settle(reloading)

    assert digest(reloading) == before


def test_a_stale_kernel_is_not_started(reloading: Guest) -> None:
    reloading.run(["systemctl", "stop", PATH])
    name = plug(reloading)
    load(reloading)
    reloading.hot_remove_memory(name)

    assert told(reloading)["stale"] is True
    refused = reloading.run(["kexecprepctl", "exec"], check=False, timeout=900)
    assert refused.returncode == 1
    assert "is stale" in refused.stderr
    reloading.run(["systemctl", "start", PATH])
    reloading.run(["kexecprepctl", "load", "--again"], timeout=900)
    assert told(reloading)["stale"] is False


def test_what_cannot_be_loaded_again_is_unloaded_with_an_error(reloading: Guest) -> None:
    start = cursor_now(reloading, SERVICE)
    reloading.run(["mv", KERNEL, f"{KERNEL}.away"])
    plug(reloading)
    wait_for(lambda: show(reloading, SERVICE)["ActiveState"] == "failed", "it has failed")

    assert reloading.read_file("/sys/kernel/kexec_loaded") == b"0\n"
    assert reloading.run(["test", "-e", RECORD], check=False).returncode == 1
    assert "has been unloaded" in journal(reloading, SERVICE, "", "--priority=err")
    assert start != cursor_now(reloading, SERVICE)
    reloading.run(["systemctl", "reset-failed", SERVICE])
    reloading.run(["mv", f"{KERNEL}.away", KERNEL])


def test_what_was_loaded_again_is_started_without_a_panic(reloading: Guest) -> None:
    # The last ones: another kernel runs after them.
    name = plug(reloading)
    load(reloading)
    reloading.hot_remove_memory(name)
    settle(reloading)

    assert reloading.reboot(["systemctl", "kexec"], timeout=900) == "running"


def test_a_reboot_starts_it_without_a_panic_too(reloading: Guest) -> None:
    version = int(reloading.run(["systemctl", "--version"]).stdout.split()[1])
    reloading.make_new_memory_removable()
    reloading.run(["cp", f"/boot/vmlinuz-{reloading.run(['uname', '-r']).stdout.strip()}", KERNEL])
    name = plug(reloading)
    load(reloading)
    reloading.hot_remove_memory(name)
    settle(reloading)

    # 257 kexecs where a kernel is loaded; before, a reboot goes through the firmware.
    verb = "reboot" if version >= 257 else "kexec"
    assert reloading.reboot(["systemctl", verb], timeout=900) == "running"
