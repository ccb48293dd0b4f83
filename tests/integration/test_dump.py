# SPDX-License-Identifier: LGPL-2.1-or-later
"""Where `kexecprepctl dump` writes to: through links, and in place into what is no plain file."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.daemon import CHECKOUT, Daemon
from tests.support.notify_socket import DEADLINE
from tests.support.private_bus import PrivateBus

pytestmark = pytest.mark.bus

CTL = (sys.executable, "-m", "kexecprepd.ctl")


def sh(bus: PrivateBus, script: str, *arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    """Have a shell run `kexecprepctl dump`, called `dump` in its script; `arguments` are $1..."""
    program = " ".join(CTL)
    return subprocess.run(
        ["sh", "-c", f'dump() {{ {program} dump "$@"; }}; {script}', "sh", *map(str, arguments)],
        env={**bus.environment, "PYTHONPATH": str(CHECKOUT)},
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
    )


@pytest.fixture
def image(daemon: Daemon) -> bytes:
    return (daemon.cache / "setup_data").read_bytes()


def test_a_link_stays_and_what_it_leads_to_is_replaced(
    bus: PrivateBus, image: bytes, top: Path
) -> None:
    target, link, links_link = top / "folder/image", top / "link", top / "another"
    target.parent.mkdir()
    target.write_text("old")
    old = target.stat().st_ino
    link.symlink_to("folder/image")
    links_link.symlink_to(link)

    done = sh(bus, 'dump "$1"', links_link)

    assert (done.returncode, done.stderr) == (0, "")
    assert (os.readlink(links_link), os.readlink(link)) == (str(link), "folder/image")
    assert target.read_bytes() == image
    assert target.stat().st_ino != old
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert os.listdir(target.parent) == ["image"]


def test_a_link_to_nothing_gets_its_target(bus: PrivateBus, image: bytes, top: Path) -> None:
    (top / "link").symlink_to("image")
    assert sh(bus, 'dump "$1"', top / "link").returncode == 0
    assert (top / "link").is_symlink()
    assert (top / "image").read_bytes() == image


def test_a_link_to_itself_is_an_error_in_words(bus: PrivateBus, image: bytes, top: Path) -> None:
    (top / "link").symlink_to("link")
    done = sh(bus, 'dump "$1"', top / "link")
    assert done.returncode == 1
    assert done.stderr.endswith("cannot be written: too many levels of symbolic links.\n")


@pytest.mark.parametrize("name", ["/dev/stdout", "/proc/self/fd/1", "/dev/fd/1", "-"])
def test_standard_output_by_any_name_is_written_in_place(
    bus: PrivateBus, image: bytes, top: Path, name: str
) -> None:
    before = os.lstat("/dev/stdout")
    done = sh(bus, '{ echo before; dump "$1"; echo after; } > "$2"', name, top / "image")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (top / "image").read_bytes() == b"before\n" + image + b"after\n"
    assert os.path.samestat(before, os.lstat("/dev/stdout"))


def test_a_descriptor_is_written_in_place(bus: PrivateBus, image: bytes, top: Path) -> None:
    done = sh(bus, '{ echo before >&3; dump /dev/fd/3; } 3> "$1"', top / "image")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"/dev/fd/3: {len(image)} bytes, sha256 ")
    assert (top / "image").read_bytes() == b"before\n" + image


def test_a_descriptor_that_was_not_given_is_refused(bus: PrivateBus, image: bytes) -> None:
    """Also those that kexecprepctl itself has open, as that of its connection."""
    for number in range(3, 9):
        done = sh(bus, f"dump /dev/fd/{number}")
        assert done.returncode == 1
        assert done.stderr == (
            f"kexecprepctl: /dev/fd/{number} cannot be written: bad file descriptor.\n"
        )


def test_a_pipe_is_written_in_place(bus: PrivateBus, image: bytes, top: Path) -> None:
    os.mkfifo(top / "pipe")
    done = sh(bus, 'cat "$1" > "$2" & dump "$1"; wait', top / "pipe", top / "image")
    assert (done.returncode, done.stderr) == (0, "")
    assert stat.S_ISFIFO((top / "pipe").stat().st_mode)
    assert (top / "image").read_bytes() == image


@pytest.mark.parametrize("name", ["-", "/dev/stdout", "/dev/tty"])
def test_a_terminal_gets_no_image(bus: PrivateBus, image: bytes, name: str) -> None:
    command = f"{' '.join(CTL)} dump {name}"
    done = subprocess.run(
        ["script", "--quiet", "--return", "--command", command, "/dev/null"],
        env={**bus.environment, "PYTHONPATH": str(CHECKOUT)},
        cwd=CHECKOUT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=DEADLINE,
    )
    assert done.returncode == 2
    assert b"will not be written to a terminal" in done.stdout


def test_a_directory_is_left_alone(bus: PrivateBus, image: bytes, top: Path) -> None:
    (top / "folder").mkdir()
    done = sh(bus, 'dump "$1"', top / "folder")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.endswith("cannot be written: is a directory.\n")


def test_an_empty_name_is_wrong_usage(bus: PrivateBus, image: bytes) -> None:
    done = sh(bus, 'dump ""')
    assert done.returncode == 2
    assert "the name is empty" in done.stderr
