# SPDX-License-Identifier: LGPL-2.1-or-later
"""The next kernel's screen, by pictures of it: with the firmware's framebuffer, and without."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.environment import console_log
from tests.lab.guest import CommandError, Guest
from tests.lab.image import get_image

from .project import Installations
from .service import wait_for

pytestmark = pytest.mark.vm

SUITE = "trixie"
"""Whose image has a native driver for QEMU's graphics card, and efifb in the kernel."""

NATIVE = "bochs"
PARAMS = "/sys/kernel/boot_params/data"
RED, BLUE = b"\xaa\x00\x00", b"\x00\x00\xaa"
"""What the console makes of the escape sequences for such backgrounds."""

BACKGROUNDS = {RED: 41, BLUE: 44}


@pytest.fixture(scope="module")
def screen(installations: Installations) -> Iterator[Guest]:
    """A guest with a graphics card, whose native driver comes only when it is asked for."""
    with Guest(
        get_image(SUITE),
        disk=installations.of(SUITE).disk,
        append=f"console=tty0 modprobe.blacklist={NATIVE}",
        qemu_args=["-device", "VGA"],
        log=console_log("screen"),
    ) as guest:
        yield guest


def driver(guest: Guest) -> str | None:
    """What drives the first framebuffer, None where there is none."""
    try:
        return guest.read_file("/sys/class/graphics/fb0/name").decode().strip()
    except CommandError:
        return None


def told(guest: Guest) -> bytes:
    """struct screen_info, as this kernel was started with it."""
    return guest.read_file(PARAMS)[:64]


def kexec(guest: Guest) -> None:
    """Load the guest's own kernel, and start it."""
    release = guest.run(["uname", "-r"]).stdout.strip()
    files = [f"/boot/vmlinuz-{release}", "--initrd", f"/boot/initrd.img-{release}"]
    guest.run(["kexecprepctl", "load", *files, "--reuse-cmdline"], timeout=900)
    assert guest.reboot(["kexecprepctl", "exec"], timeout=900) == "running"


def paint(guest: Guest, colour: bytes) -> None:
    """Have the kernel's console give all of its screen a colour."""
    sequence = rf"\033[{BACKGROUNDS[colour]}m\033[2J"
    guest.run(["sh", "-c", f"printf '{sequence}' >/dev/tty0"])


def shows(guest: Guest, colour: bytes, folder: Path) -> bool:
    """Whether that is to be seen on the screen: most of its pixels are of that colour."""
    picture = folder / "screen.ppm"
    guest.screendump(picture)
    _, size, _, pixels = picture.read_bytes().split(b"\n", 3)  # a PPM has these lines
    width, height = map(int, size.split())
    assert len(pixels) == 3 * width * height
    found = Counter(pixels[at : at + 3] for at in range(0, len(pixels), 3))
    return found[colour] > width * height // 2


def test_the_firmware_s_framebuffer_is_handed_on_and_shows_the_next_kernel_s_console(
    screen: Guest, tmp_path: Path
) -> None:
    before = told(screen)
    assert driver(screen) == "EFI VGA"
    assert not shows(screen, RED, tmp_path)

    kexec(screen)

    assert told(screen) == before
    assert driver(screen) == "EFI VGA"
    paint(screen, RED)
    wait_for(lambda: shows(screen, RED, tmp_path), "the next kernel's console is seen")


def test_where_a_native_driver_owns_the_screen_none_is_told_and_the_driver_finds_it(
    screen: Guest, tmp_path: Path
) -> None:
    screen.run(["modprobe", NATIVE])
    wait_for(lambda: (driver(screen) or "").startswith(NATIVE), "the native driver has come")

    kexec(screen)

    assert told(screen) == bytes(64)
    assert driver(screen) is None
    paint(screen, BLUE)
    assert not shows(screen, BLUE, tmp_path)
    screen.run(["modprobe", NATIVE])
    wait_for(lambda: (driver(screen) or "").startswith(NATIVE), "the native driver has come")
    paint(screen, BLUE)
    wait_for(lambda: shows(screen, BLUE, tmp_path), "its console is seen")
