# SPDX-License-Identifier: LGPL-2.1-or-later
"""Loaders that know nothing of kexecprepd, as the release has them: by themselves, and on the view.

The firmware has a graphics card and leaves its logo behind, in memory that the kernel calls System
RAM. A guest of its own for each release: what is lost here is lost until the next power-on.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.lab.environment import console_log
from tests.lab.guest import Guest
from tests.lab.image import get_image

from . import expected
from .project import Installations
from .service import journal, show
from .survivors import SECURE_BOOT_DISABLED, Kernel, files

pytestmark = pytest.mark.vm

RUN = ("kexecprepctl", "run", "--")

OWN = "own-load.service"
"""A unit that loads a kernel, as an administrator might have written it."""

OWN_UNIT = """[Service]
Type=oneshot
ExecStart={command}
"""

OF_BOOKWORM = "kexec-load.service"
"""The release's own, a script of SysV that systemd makes a unit of. The guests' image masks it."""

# The script that starts what the other one has loaded leaves that to its unit, which is masked.
STARTER = "start-loaded.service"
STARTER_UNIT = f"""[Unit]
Before={OF_BOOKWORM}

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=true
ExecStop=sync
ExecStop=/sbin/kexec -e
"""

# As u-root reads the memory map (pkg/boot/kexec, ParseMemoryMap): the types are these words, and
# a number's base is told by its prefix.
LIKE_U_ROOT = """
import os
top = "/sys/firmware/memmap"
for name in os.listdir(top):
    def read(file):
        with open(f"{top}/{name}/{file}") as opened:
            return opened.read().strip()
    if read("type") == "System RAM":
        print(int(read("start"), 0), int(read("end"), 0))
"""


@pytest.fixture(scope="module")
def guest(release: str, installations: Installations) -> Iterator[Guest]:
    """A guest with the package, just started by its firmware."""
    with Guest(
        get_image(release),
        disk=installations.of(release).disk,
        qemu_args=("-device", "VGA"),
        log=console_log(f"any-loader-{release}"),
    ) as running:
        yield running


@pytest.fixture(scope="module")
def first(guest: Guest) -> Kernel:
    """What the kernel shows that the firmware started."""
    return Kernel.of(guest)


@pytest.fixture(scope="module")
def kept(guest: Guest) -> list[tuple[int, int]]:
    """Where the firmware's regions are, by the kernel's own map."""
    return [
        (region["phys_addr"], region["phys_addr"] + (region["num_pages"] << 12) - 1)
        for region in expected.runtime_regions(guest)
    ]


def kexec(guest: Guest, *options: str) -> list[str]:
    """kexec-tools' command that loads the guest's own kernel by kexec_load(2)."""
    kernel, initrd = files(guest)
    return ["kexec", *options, "-c", "-l", kernel, f"--initrd={initrd}", "--reuse-cmdline"]


def segments(printed: str) -> list[tuple[int, int]]:
    """What kexec -d says of where it places things."""
    places = re.findall(r"segment\[\d+\]\.mem\s+= (\S+)\nsegment\[\d+\]\.memsz\s+= (\S+)", printed)
    assert places, printed
    return [(int(mem, 16), int(mem, 16) + int(size, 16) - 1) for mem, size in places]


def touching(places: list[tuple[int, int]], kept: list[tuple[int, int]]) -> list[tuple[int, int]]:
    return [(s, e) for s, e in places if any(s <= last and first <= e for first, last in kept)]


def placed(guest: Guest, *before: str) -> list[tuple[int, int]]:
    """Where kexec-tools place the guest's own kernel, called after some words."""
    done = guest.run([*before, *kexec(guest, "-d")], timeout=900)
    return segments(done.stdout + done.stderr)


def test_by_itself_it_places_a_kernel_over_the_firmware_s_tables(
    guest: Guest, first: Kernel, kept: list[tuple[int, int]]
) -> None:
    assert touching(placed(guest), kept)


def test_on_the_view_no_segment_touches_them(
    guest: Guest, first: Kernel, kept: list[tuple[int, int]]
) -> None:
    assert touching(placed(guest, *RUN), kept) == []


def test_a_reader_like_u_root_s_finds_no_ram_there(
    guest: Guest, kept: list[tuple[int, int]]
) -> None:
    def ram(*before: str) -> list[tuple[int, int]]:
        text = guest.run([*before, "python3", "-c", LIKE_U_ROOT]).stdout
        return [(int(start), int(end)) for start, end in map(str.split, text.splitlines())]

    assert touching(ram(), kept)
    assert ram(*RUN)
    assert touching(ram(*RUN), kept) == []


def test_it_is_said_where_the_view_has_no_effect(guest: Guest, release: str) -> None:
    kernel, _ = files(guest)
    done = guest.run([*RUN, "kexec", "-l", kernel, "--reuse-cmdline"], timeout=900)
    assert ("kexec_file_load" in done.stderr) == (release == "trixie")
    guest.run(["kexec", "-u"])


def adopt_own(guest: Guest) -> None:
    """Have a unit that loads the guest's own kernel, and adopt it."""
    command = " ".join(["/usr/sbin/kexec", *kexec(guest, "-d")[1:]])
    guest.write_file(f"/etc/systemd/system/{OWN}", OWN_UNIT.format(command=command).encode())
    guest.run(["kexecprepctl", "adopt", OWN])


@pytest.fixture
def own(guest: Guest) -> Iterator[None]:
    """An adopted unit that loads the guest's own kernel, which goes with it."""
    adopt_own(guest)
    yield
    guest.run(["kexec", "-u"])
    guest.run(["kexecprepctl", "adopt", "--undo", OWN])


def test_an_adopted_unit_loads_on_the_view(
    guest: Guest, kept: list[tuple[int, int]], own: None
) -> None:
    guest.run(["systemctl", "start", OWN], timeout=900)
    assert touching(segments(journal(guest, OWN)), kept) == []
    assert guest.read_file("/sys/kernel/kexec_loaded") == b"1\n"


def test_without_a_view_an_adopted_unit_loads_nothing(guest: Guest, own: None) -> None:
    guest.run(["systemctl", "mask", "--runtime", "--now", "kexecprepd.service"])
    guest.run(["mv", "/run/kexecprepd/view", "/run/kexecprepd/away"])
    try:
        assert guest.run(["systemctl", "start", OWN], check=False, timeout=900).returncode != 0
        assert show(guest, OWN)["ExecMainStatus"] == "226"  # EXIT_NAMESPACE
        assert guest.read_file("/sys/kernel/kexec_loaded") == b"0\n"
    finally:
        guest.run(["mv", "/run/kexecprepd/away", "/run/kexecprepd/view"])
        guest.run(["systemctl", "unmask", "--runtime", "kexecprepd.service"])
        guest.run(["systemctl", "start", "kexecprepd.service"])


def start_by_the_release_s_own_unit(guest: Guest) -> None:
    """Adopt Debian 12's own unit, and have it load the next kernel at a shutdown."""
    guest.run(["rm", f"/etc/systemd/system/{OF_BOOKWORM}"])
    guest.write_file(f"/etc/systemd/system/{STARTER}", STARTER_UNIT.encode())
    guest.run(["kexecprepctl", "adopt", OF_BOOKWORM])
    assert show(guest, OF_BOOKWORM)["SourcePath"] == "/etc/init.d/kexec-load"
    guest.run(["systemctl", "start", OF_BOOKWORM, STARTER])
    assert guest.reboot(["systemctl", "reboot"]) == "running"


def start_by_hand(guest: Guest) -> None:
    """`kexecprepctl run` kexec-tools, and start what they have loaded."""
    guest.run([*RUN, *kexec(guest)], timeout=900)
    assert guest.reboot(["systemctl", "kexec"]) == "running"


ON_THE_VIEW = {"bookworm": start_by_the_release_s_own_unit, "trixie": start_by_hand}
"""How each starts its second kernel: to a third, which the second hands its memory map, nothing can
be lost any more."""


def test_a_second_kernel_has_lost_nothing_that_the_loader_hands_over(
    guest: Guest, release: str, first: Kernel
) -> None:
    ON_THE_VIEW[release](guest)

    now = Kernel.of(guest)
    assert now.efi_payload is not None
    assert first.bgrt is not None
    assert now.variables >= first.variables
    # kexec-tools do not know of these, nor of the cards' ROMs.
    assert (first.secure_boot, now.secure_boot) == (SECURE_BOOT_DISABLED, 0)
    assert first == replace(
        now,
        efi_payload=None,
        variables=first.variables,
        secure_boot=first.secure_boot,
        roms=first.roms,
    )


def test_in_the_second_kernel_the_loader_by_itself_keeps_off_them(
    guest: Guest, kept: list[tuple[int, int]]
) -> None:
    # What the view called Reserved is so in the memory map of the kernel that was started on it.
    assert touching(placed(guest), kept) == []
    guest.run(["kexec", "-u"])


def test_purging_the_package_undoes_all(guest: Guest) -> None:
    adopt_own(guest)
    drop_in = f"/etc/systemd/system/{OWN}.d"
    assert guest.run(["ls", drop_in]).stdout == "kexecprepd.conf\n"
    guest.run(["dpkg", "--purge", "kexecprepd"], timeout=900)
    left = guest.run(["sh", "-c", "ls -d /etc/systemd/system/*.d /run/kexecprepd"], check=False)
    assert left.stdout == ""
    assert "BindReadOnlyPaths" not in guest.run(["systemctl", "cat", OWN]).stdout
