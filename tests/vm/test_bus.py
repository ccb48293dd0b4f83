# SPDX-License-Identifier: LGPL-2.1-or-later
"""What root gets over the real bus: the bytes and maps that this machine's sysfs amounts to."""

from __future__ import annotations

import hashlib
import json

import pytest

from tests.lab.guest import Guest

from . import expected
from .machines import COMBINATIONS, on
from .service import NAME, UNIT, call, properties, show

pytestmark = [pytest.mark.vm, on(COMBINATIONS)]

TAKE_FD = f"""
import fcntl, json, os, sys
from gi.repository import Gio, GLib

bus = Gio.bus_get_sync(Gio.BusType.SYSTEM)
reply, fds = bus.call_with_unix_fd_list_sync(
    "{NAME}", "/org/kexecprepd1", "{NAME}.Manager", "OpenSetupData",
    None, None, Gio.DBusCallFlags.NONE, 60000, None, None)
fd = fds.get(reply.unpack()[0])
try:
    os.pwrite(fd, b"!", 0)
    written = True
except OSError:
    written = False
print(json.dumps({{"data": os.pread(fd, 1 << 20, 0).hex(), "written": written,
    "seals": fcntl.fcntl(fd, fcntl.F_GET_SEALS), "sha256": reply.unpack()[1]["sha256"]}}))
"""


def test_the_image_is_what_sysfs_amounts_to(guest: Guest) -> None:
    data, info = call(guest, "GetSetupData")
    assert bytes(data) == expected.image(guest)
    assert info["sha256"]["data"] == hashlib.sha256(bytes(data)).hexdigest()


def test_the_image_comes_in_a_sealed_memfd(guest: Guest) -> None:
    shown = json.loads(guest.run(["python3", "-I", "-c", TAKE_FD]).stdout)
    image = expected.image(guest)
    assert bytes.fromhex(shown["data"]) == image
    assert shown["sha256"] == hashlib.sha256(image).hexdigest()
    assert shown["seals"] == 0b1111  # SEAL, SHRINK, GROW, WRITE
    assert not shown["written"]


def test_the_image_is_linked_for_a_free_place(guest: Guest) -> None:
    # Any whole page of RAM that no region touches will do: the start of the largest range.
    _, start, _ = max((end - start, start, 0) for start, end, kind in _ram(guest))
    place = (start + 0xFFF) & ~0xFFF
    data, efi_info, _ = call(guest, "PlaceSetupData", "tt", str(place), str(0x1234_5678))
    image = expected.image(guest)
    assert bytes(data) == (0x1234_5678).to_bytes(8, "little") + image[8:]
    pointer = bytes(efi_info)[16:20] + bytes(efi_info)[24:28]
    assert int.from_bytes(pointer, "little") == place + 112


def _ram(guest: Guest) -> list[tuple[int, int, str]]:
    ranges = (
        (int(start), int(end), str(kind)) for start, end, kind in expected.memory_ranges(guest)
    )
    return [each for each in ranges if each[2] == "System RAM"]


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
    assert ranges == expected.memory_ranges(guest)


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


def test_a_stopped_service_leaves_its_cache_and_is_started_by_a_call(guest: Guest) -> None:
    before = properties(guest)
    guest.run(["systemctl", "stop", UNIT])
    assert show(guest)["ActiveState"] == "inactive"
    assert guest.read_file("/run/kexecprepd/setup_data") == expected.image(guest)
    assert properties(guest, user="tester") == before
    assert show(guest)["ActiveState"] == "active"
