# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the daemon knows goes over a kexec, where the kernel has kexec handover: two that the kernel
loads by itself (kexec_file_load), and a third by kexec_load, which has the receipt in its place.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tests.lab.environment import console_log
from tests.lab.guest import Guest
from tests.lab.image import get_image
from tests.lab.kernel import get_kernel

from .project import install_package
from .service import DROP_INS, UNIT, properties, show, wait_for

pytestmark = pytest.mark.luo

HANDOVER = "kho=on liveupdate=on"
KERNEL = "/var/tmp/vmlinuz"
STORE = "[Service]\nFileDescriptorStoreMax=2\nFileDescriptorStorePreserve=yes\n"
"""What the package's unit, which is for systemd 252 too, leaves to the administrator."""


@pytest.fixture(scope="module")
def guest(deb: Path) -> Iterator[Guest]:
    """Debian testing with the package and the kernel that it is to load, which runs already."""
    image = replace(get_image("testing"), kernel=get_kernel())
    with Guest(image, append=HANDOVER, log=console_log("luo"), timeout=900) as guest:
        install_package(guest, deb)
        drop_in = f"{DROP_INS.replace('/run/', '/etc/')}/store.conf"
        guest.write_file(drop_in, STORE.encode())
        guest.write_file(KERNEL, image.kernel.read_bytes())
        guest.run(["sh", "-c", f"systemctl daemon-reload && systemctl restart {UNIT}"], timeout=120)
        yield guest


@dataclass(frozen=True)
class Before:
    """What a kernel's daemon told, shortly before the next kernel."""

    boot_id: str
    sha256: str
    count: int


def kexec(guest: Guest, *options: str) -> Before:
    """Load the same kernel, and start it. There is no initrd, as it has all that it needs."""
    told = properties(guest)
    load = ["kexecprepctl", "load", KERNEL, "--reuse-cmdline", *options]
    guest.run(load, timeout=300)
    assert guest.reboot(["kexecprepctl", "exec"], timeout=900) == "running"
    return Before(told["BootID"], told["Sha256"], told["KexecCount"])


def receipt(guest: Guest) -> dict[str, Any]:
    """What came along, as everyone is told."""
    return {name: each["data"] for name, each in properties(guest)["Receipt"].items()}


def show_figures(told: dict[str, Any], came: dict[str, Any]) -> None:
    """Print what one kernel told of the one before, for whoever wants to see more than a dot."""
    shown = {name: told[name] for name in ("BootID", "KexecCount", "Sha256")}
    print(json.dumps({**shown, "Receipt": came}, indent=2))


def stored(guest: Guest) -> int:
    """How many files systemd keeps for the service."""
    return int(show(guest)["NFileDescriptorStore"])


def test_systemd_keeps_one_file_and_kexec_handover_is_on(guest: Guest) -> None:
    wait_for(lambda: stored(guest) == 1, "systemd has the file")
    guest.run(["test", "-c", "/dev/liveupdate"])
    shown = json.loads(guest.run(["kexecprepctl", "check", "--json=short"], check=False).stdout)
    assert "kexec-handover" in {each["code"] for each in shown["cautions"]}


@pytest.mark.parametrize("number", [1, 2])
def test_the_kernels_own_loader_takes_it_along(guest: Guest, number: int) -> None:
    before = kexec(guest)  # which call it is, --syscall=auto decides

    told, came = properties(guest), receipt(guest)
    show_figures(told, came)
    assert before.count == number - 1
    assert (told["StartedBy"], told["KexecCount"]) == ("kexec", number)
    assert (came["from-boot-id"], came["kexec-count"]) == (before.boot_id, number)
    assert came["sha256"] == before.sha256 == told["Sha256"] != ""
    assert came["kept"] is True
    assert told["WarningCount"] == 0
    words = guest.run(["kexecprepctl", "status"]).stdout
    assert "what that kernel had is what arrived; EFI variables answer" in words


def test_a_restart_of_the_service_forgets_nothing(guest: Guest) -> None:
    before = properties(guest)

    guest.run(["systemctl", "restart", UNIT], timeout=120)

    assert properties(guest) == before
    assert stored(guest) == 1


def test_after_kexec_load_the_receipt_goes_on_counting(guest: Guest) -> None:
    before = kexec(guest, "--syscall=load")

    told, came = properties(guest), receipt(guest)
    show_figures(told, came)
    assert (told["KexecCount"], came["kexec-count"]) == (3, 3)
    assert came["from-boot-id"] == before.boot_id
    assert came["sha256"] == before.sha256 == told["Sha256"]
    assert came["loader"].startswith("kexecprepctl ")
    assert "kept" not in came
    # Nothing came over: what is kept is of this kernel alone.
    assert stored(guest) == 1
