# SPDX-License-Identifier: LGPL-2.1-or-later
"""The machine itself: firmware, memory hotplug, commands and files, in one boot."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .conftest import console_log
from .guest import CommandError, Guest, GuestError
from .image import Image

pytestmark = pytest.mark.vm


@pytest.fixture(scope="module")
def bare(guest_image: Image, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guest]:
    """A guest without the project."""
    overlay = tmp_path_factory.mktemp("bare")
    (overlay / "lib").mkdir()
    (overlay / "lib" / "overlay-marker").write_text("here\n")
    with Guest(guest_image, overlay=overlay, log=console_log("bare")) as machine:
        yield machine


def names(guest: Guest, folder: str) -> list[str]:
    """Return the names in a directory of the guest."""
    return guest.run(["ls", folder]).stdout.split()


def wait_for(condition: Callable[[], bool], timeout: float = 60) -> None:
    """Ask again until the condition holds."""
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end, f"still not so after {timeout:g} s"
        time.sleep(0.1)


def test_firmware_is_uefi_and_shows_its_runtime_map(bare: Guest) -> None:
    assert names(bare, "/sys/firmware/efi/runtime-map")
    assert bare.read_file("/sys/firmware/efi/fw_platform_size") == b"64\n"
    kind = bare.read_file("/sys/firmware/efi/runtime-map/0/type")
    assert int(kind, 16) in range(16)


def test_commands_carry_input_output_status_and_user(bare: Guest) -> None:
    assert bare.run(["id", "-u"]).stdout == "0\n"
    assert bare.run(["id", "-u"], user="tester").stdout == "1000\n"
    assert bare.run(["cat"], input="gruezi\n").stdout == "gruezi\n"
    assert bare.run(["sh", "-c", "kill -9 $$"], check=False).returncode == -9
    with pytest.raises(CommandError, match="status 3") as caught:
        bare.run(["sh", "-c", "echo why >&2; exit 3"])
    assert (caught.value.returncode, caught.value.stderr) == (3, b"why\n")
    with pytest.raises(GuestError, match="did not end"):
        bare.run(["sleep", "600"], timeout=0.1)
    denied = bare.run(["cat", "/sys/firmware/efi/runtime-map/0/type"], user="tester", check=False)
    assert denied.returncode == 1


def test_overlay_is_unpacked_and_leaves_the_links_of_root(bare: Guest, tmp_path: Path) -> None:
    assert bare.read_file("/usr/lib/overlay-marker") == b"here\n"
    assert bare.run(["readlink", "/lib"]).stdout == "usr/lib\n"
    bare.write_file("/run/deep/er/file", b"\0\xff", mode=0o600)
    assert bare.read_file("/run/deep/er/file") == b"\0\xff"
    assert bare.run(["stat", "-c", "%a %U", "/run/deep/er/file"]).stdout == "600 root\n"


def test_hot_added_memory_grows_the_memory_map(bare: Guest) -> None:
    before = names(bare, "/sys/firmware/memmap")
    blocks = names(bare, "/sys/devices/system/memory")
    bare.hot_add_memory(512)
    wait_for(lambda: len(names(bare, "/sys/firmware/memmap")) > len(before))
    added = set(names(bare, "/sys/firmware/memmap")) - set(before)
    assert added == {str(len(before))}
    assert bare.read_file(f"/sys/firmware/memmap/{len(before)}/type") == b"System RAM\n"
    assert len(names(bare, "/sys/devices/system/memory")) == len(blocks) + 4
