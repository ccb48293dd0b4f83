# SPDX-License-Identifier: LGPL-2.1-or-later
"""What `kexecprepctl load` makes of the files and of the command line that it is given."""

import os
import signal
import threading
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kexecprepd.ctl.load import uninterrupted
from kexecprepd.ctl.wanted import Wanted, read_wanted, without_boot_image
from tests.support.kernels import bzimage, uki
from tests.support.recordings import write


def wanted(top: Path, kernel: bytes, *initrds: bytes, **options: Any) -> Wanted:
    """What is wanted of these files, with options as the command line gives them."""
    (top / "kernel").write_bytes(kernel)
    paths = [top / f"initrd.{number}" for number in range(len(initrds))]
    for path, content in zip(paths, initrds, strict=True):
        path.write_bytes(content)
    given = {
        "append": None,
        "reuse_cmdline": False,
        "no_efi": False,
        "no_receipt": False,
        "root": top,
        **options,
    }
    return read_wanted(Namespace(kernel=top / "kernel", initrd=paths, **given))


def test_initrds_are_joined_in_the_order_in_which_they_are_given(tmp_path: Path) -> None:
    found = wanted(tmp_path, bzimage(), b"one!", b"two!", b"three!!!")

    assert found.initrd == b"one!two!three!!!"
    assert not found.unified


def test_without_any_there_is_no_initrd_and_no_command_line(tmp_path: Path) -> None:
    found = wanted(tmp_path, bzimage())

    assert (found.initrd, found.cmdline) == (None, "")


UNIFIED = uki((".linux", bzimage()), (".initrd", b"own!"), (".cmdline", b"its own"))


def test_a_unified_kernel_s_own_initrd_comes_first(tmp_path: Path) -> None:
    found = wanted(tmp_path, UNIFIED, b"mine")

    assert found.initrd == b"own!mine"
    assert found.unified


def test_a_unified_kernel_s_own_command_line_gives_way_to_one_that_is_given(tmp_path: Path) -> None:
    write(tmp_path, "proc/cmdline", "BOOT_IMAGE=x reused\n")

    assert wanted(tmp_path, UNIFIED).cmdline == "its own"
    assert wanted(tmp_path, UNIFIED, append="mine").cmdline == "mine"
    assert wanted(tmp_path, UNIFIED, append="").cmdline == ""
    assert wanted(tmp_path, UNIFIED, reuse_cmdline=True).cmdline == "reused"


@pytest.mark.parametrize(
    ("cmdline", "expected"),
    [
        ("BOOT_IMAGE=/vmlinuz root=/dev/sda1 quiet\n", "root=/dev/sda1 quiet"),
        ("root=/dev/sda1 BOOT_IMAGE=/vmlinuz  quiet", "root=/dev/sda1 quiet"),
        ("MY_BOOT_IMAGE=1 x", "MY_BOOT_IMAGE=1 x"),
        ('dyndbg="file a +p; BOOT_IMAGE=b" x', 'dyndbg="file a +p; BOOT_IMAGE=b" x'),
        ('x y="never closed BOOT_IMAGE=b', 'x y="never closed BOOT_IMAGE=b'),
        ("BOOT_IMAGE=/vmlinuz\n", ""),
        ("\n", ""),
    ],
)
def test_what_a_boot_loader_says_of_its_own_is_not_reused(cmdline: str, expected: str) -> None:
    assert without_boot_image(cmdline) == expected


@pytest.fixture(params=["alone", "beside another thread"])
def _threads(request: pytest.FixtureRequest) -> Iterator[None]:
    """As the program is without the bus, and as it is with GDBus' thread, which takes signals."""
    end = threading.Event()
    thread = threading.Thread(target=end.wait)
    if request.param != "alone":
        thread.start()
    yield
    end.set()
    if request.param != "alone":
        thread.join()


@pytest.mark.usefixtures("_threads")
def test_no_signal_comes_between_a_load_and_what_is_remembered_of_it() -> None:
    done = False

    with pytest.raises(KeyboardInterrupt), uninterrupted():  # noqa: PT012 # that is the point
        os.kill(os.getpid(), signal.SIGINT)
        done = True

    assert done
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
