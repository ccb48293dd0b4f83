# SPDX-License-Identifier: LGPL-2.1-or-later
"""Fixtures: the guest image, and a guest with the project installed."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from .guest import Guest
from .image import Image, get_image

CHECKOUT = Path(__file__).resolve().parents[2]
SERVICE = "kexecprepd.service"


def stage_project(target: Path) -> Path:
    """Install the project below a directory, as its package would be installed below /."""
    command = [str(CHECKOUT / "packaging" / "install"), "--destdir", str(target)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.fail(f"{command} ended with status {done.returncode}:\n{done.stdout}{done.stderr}")
    return target


def start_project(guest: Guest) -> None:
    """Do in the guest what the package's scripts do after unpacking."""
    modules = "/usr/lib/python3/dist-packages/kexecprepd"
    guest.run(["python3", "-m", "compileall", "-q", modules], timeout=120)
    guest.run(["systemd-sysusers"])
    guest.run(["systemd-tmpfiles", "--create"])
    guest.run(["systemctl", "daemon-reload"])
    guest.run(["systemctl", "reload", "dbus.service"])
    started = guest.run(["systemctl", "start", SERVICE], check=False, timeout=120)
    if started.returncode != 0:
        journal = guest.run(["journalctl", "--no-pager", "--unit", SERVICE]).stdout
        pytest.fail(f"{SERVICE} did not start in the guest:\n{started.stderr}{journal}")


def console_log(name: str) -> Path | None:
    """Return where to keep a guest's console output: in $KEXECPREPD_VM_LOGS, if that is set."""
    folder = os.environ.get("KEXECPREPD_VM_LOGS")
    if not folder:
        return None
    Path(folder).mkdir(parents=True, exist_ok=True)
    return Path(folder).absolute() / f"{name}.log"


@pytest.fixture(scope="session")
def guest_image() -> Image:
    """The disk, kernel and initrd of Debian 12; built at the first use."""
    return get_image("bookworm")


@pytest.fixture(scope="session")
def guest(guest_image: Image, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guest]:
    """A guest on 64-bit firmware with the project installed and its service running."""
    overlay = stage_project(tmp_path_factory.mktemp("overlay"))
    with Guest(guest_image, overlay=overlay, log=console_log("guest")) as machine:
        start_project(machine)
        yield machine
