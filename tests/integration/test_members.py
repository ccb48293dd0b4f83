# SPDX-License-Identifier: LGPL-2.1-or-later
"""Every member of org.kexecprepd1.Manager over a real bus, against what the tree says."""

import fcntl
import hashlib
import json
import os
import re
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from gi.repository import GLib

from kexecprepd import __version__
from tests.support.daemon import Daemon, running
from tests.support.private_bus import PrivateBus
from tests.support.recordings import materialise, write

from .client import Client, Refused, read_tree

pytestmark = pytest.mark.bus

RUNTIME_ATTRIBUTE = 1 << 63
INVALID_ARGS = "org.kexecprepd1.Error.InvalidArgs"

INFO_TYPES = {
    "generation": "t",
    "sha256": "s",
    "boot-id": "s",
    "state": "s",
    "region-count": "u",
    "memmap-offset": "u",
    "memmap-size": "u",
    "memdesc-size": "u",
    "memdesc-version": "u",
    "efi-info": "ay",
    "acpi-rsdp": "t",
    "secure-boot": "y",
    "excluded-ranges": "a(tts)",
    "handover-sha256": "s",
}


Region = tuple[int, int, int, int, int, int]


def runtime_map(root: Path) -> list[Region]:
    """number, type, phys_addr, virt_addr, num_pages, attribute, as the tree has them."""
    top = root / "sys/firmware/efi/runtime-map"
    names = ("type", "phys_addr", "virt_addr", "num_pages", "attribute")
    numbers = sorted(int(entry.name) for entry in top.iterdir())
    regions = []
    for number in numbers:
        kind, phys, virt, pages, attribute = (
            read_tree(root, f"firmware/efi/runtime-map/{number}/{name}") for name in names
        )
        regions.append((number, kind, phys, virt, pages, attribute))
    return regions


def handed_over(root: Path) -> list[Region]:
    regions = [region for region in runtime_map(root) if region[5] & RUNTIME_ATTRIBUTE]
    return sorted(regions, key=lambda region: region[2])


def memory_map(root: Path) -> list[tuple[int, int, str]]:
    top = root / "sys/firmware/memmap"
    return [
        (
            read_tree(root, f"firmware/memmap/{number}/start"),
            read_tree(root, f"firmware/memmap/{number}/end"),
            (top / str(number) / "type").read_text().strip(),
        )
        for number in sorted(int(entry.name) for entry in top.iterdir())
    ]


def systab(root: Path) -> dict[str, int]:
    lines = (root / "sys/firmware/efi/systab").read_text().split()
    return {name: int(value, 16) for name, value in (line.split("=") for line in lines)}


def physical_runtime(root: Path) -> int:
    runtime = read_tree(root, "firmware/efi/runtime")
    for _, _, phys, virt, pages, _ in runtime_map(root):
        if virt <= runtime < virt + pages * 4096:
            return runtime - virt + phys
    return runtime


def expected_image(root: Path) -> bytes:
    """The image by its format's definition: struct setup_data, struct efi_setup_data, array."""
    node = struct.pack(
        "<QII QQQQ 64x",
        *(0, 4, 96),
        read_tree(root, "firmware/efi/fw_vendor"),
        physical_runtime(root),
        read_tree(root, "firmware/efi/config_table"),
        systab(root)["SMBIOS"],
    )
    return node + b"".join(
        struct.pack("<IIQQQQ", kind, 0, phys, virt, pages, attribute)
        for _, kind, phys, virt, pages, attribute in handed_over(root)
    )


def expected_efi_info(root: Path, image_address: int) -> bytes:
    """struct efi_info: the running kernel's, with the memory map that the image holds."""
    own = (root / "sys/kernel/boot_params/data").read_bytes()[0x1C0:0x1E0]
    signature, systab_low, *_, systab_high, _ = struct.unpack("<4s7I", own)
    memmap = image_address + 112 if image_address else 0
    size = 40 * len(handed_over(root))
    low, high = memmap & 0xFFFFFFFF, memmap >> 32
    return struct.pack("<4s7I", signature, systab_low, 40, 1, low, size, systab_high, high)


def first_excluded_ram(root: Path) -> int:
    """A runtime region's address that the memory map calls System RAM."""
    ram = [(start, end) for start, end, kind in memory_map(root) if kind == "System RAM"]
    for _, _, phys, _, _, _ in handed_over(root):
        if any(0 < start <= phys <= end for start, end in ram):
            return phys
    raise LookupError("no runtime region of this recording is System RAM")


def raw(variant: Any) -> bytes:
    data: bytes = variant.get_data_as_bytes().get_data()
    return data


@contextmanager
def served(name: str, bus: PrivateBus, top: Path, client: Client) -> Iterator[tuple[Path, Client]]:
    root = materialise(name, top / "root")
    with running(top, root, bus.environment):
        yield root, client


@pytest.mark.parametrize(
    "recording",
    [
        "deb12-6.1-ovmf-q35-1g",
        "deb12-6.1-ovmf-q35-6g",
        "deb12-6.1-ovmf-q35-bgrt",
        "deb12-6.1-ovmf-q35-bgrt-kexec-file",
        "deb12-6.1-ovmf-q35-efidebug",
        "deb12-6.1-ovmf-q35-kexec-syscall",
    ],
)
def test_the_image_is_the_one_that_the_tree_amounts_to(
    recording: str, bus: PrivateBus, top: Path, client: Client
) -> None:
    with served(recording, bus, top, client) as (root, client):
        body, _ = client.reply("GetSetupData")
        assert body.get_type_string() == "(aya{sv})"
        assert raw(body.get_child_value(0)) == expected_image(root)


def test_the_image_is_the_same_in_a_kernel_that_was_kexecd(
    bus: PrivateBus, top: Path, client: Client, tree: Path
) -> None:
    before = expected_image(tree)
    runtime = read_tree(tree, "firmware/efi/runtime")
    for _, _, phys, virt, pages, _ in runtime_map(tree):
        if phys <= runtime < phys + pages * 4096:
            write(tree, "sys/firmware/efi/runtime", f"{runtime - phys + virt:#x}\n")
    assert read_tree(tree, "firmware/efi/runtime") != runtime
    with running(top, tree, bus.environment):
        assert bytes(client.call("GetSetupData")[0]) == before


def test_info_has_every_key_in_its_type(daemon: Daemon, client: Client) -> None:
    body, _ = client.reply("GetSetupData")
    info = body.get_child_value(1)
    types = {
        entry.get_child_value(0).get_string(): entry.get_child_value(1).get_variant()
        for entry in (info.get_child_value(n) for n in range(info.n_children()))
    }
    assert {name: value.get_type_string() for name, value in types.items()} == INFO_TYPES


def test_info_describes_the_image_of_the_same_answer(
    daemon: Daemon, client: Client, tree: Path
) -> None:
    image, info = client.call("GetSetupData")
    assert re.fullmatch("[0-9a-f]{64}", info.pop("handover-sha256"))
    regions = handed_over(tree)
    boot_params = (tree / "sys/kernel/boot_params/data").read_bytes()
    assert info == {
        "generation": 1,
        "sha256": hashlib.sha256(bytes(image)).hexdigest(),
        "boot-id": client.get("BootID"),
        "state": "ready",
        "region-count": len(regions),
        "memmap-offset": 112,
        "memmap-size": 40 * len(regions),
        "memdesc-size": 40,
        "memdesc-version": 1,
        "efi-info": list(expected_efi_info(tree, 0)),
        "acpi-rsdp": struct.unpack_from("<Q", boot_params, 0x70)[0] or systab(tree)["ACPI20"],
        "secure-boot": boot_params[0x1EC],
        "excluded-ranges": client.call("GetExcludedRanges"),
    }


def test_place_links_the_image_and_completes_efi_info(
    daemon: Daemon, client: Client, tree: Path
) -> None:
    address, next_node = 0x1000_0000, 0x2000_1238
    body, _ = client.reply("PlaceSetupData", GLib.Variant("(tt)", (address, next_node)))
    assert body.get_type_string() == "(ayaya{sv})"
    image, efi_info, info = (body.get_child_value(n) for n in range(3))
    assert raw(image) == struct.pack("<Q", next_node) + expected_image(tree)[8:]
    assert raw(efi_info) == expected_efi_info(tree, address)
    assert info.unpack() == client.call("GetSetupData")[1]


def test_place_splits_an_address_above_4_gib(bus: PrivateBus, top: Path, client: Client) -> None:
    address = 0x1_4000_0000
    with served("deb12-6.1-ovmf-q35-6g", bus, top, client) as (root, client):
        _, efi_info, _ = client.call("PlaceSetupData", GLib.Variant("(tt)", (address, 0)))
        assert bytes(efi_info) == expected_efi_info(root, address)


@pytest.mark.parametrize(
    ("address", "next_node", "words"),
    [
        (0x1000_0004, 0, "aligned"),
        ((1 << 64) - 8, 0, "wraps"),
        (0, 0, "page 0"),
        (0xB000_0000, 0, "not System RAM"),
        (0x7_0000_0000, 0, "not System RAM"),
        (0x1000_0000, 0x1000_0008, "the image itself"),
    ],
    ids=["unaligned", "wraps", "page-0", "reserved", "nowhere", "loop"],
)
def test_place_refuses(
    daemon: Daemon, client: Client, address: int, next_node: int, words: str
) -> None:
    with pytest.raises(Refused, match=words) as refused:
        client.call("PlaceSetupData", GLib.Variant("(tt)", (address, next_node)))
    assert refused.value.name == INVALID_ARGS


def test_place_refuses_ram_that_the_firmware_still_uses(
    bus: PrivateBus, top: Path, client: Client
) -> None:
    with served("deb12-6.1-ovmf-q35-bgrt", bus, top, client) as (root, client):
        address = first_excluded_ram(root)
        for place in (address, address - 8):
            with pytest.raises(Refused, match="excluded range") as refused:
                client.call("PlaceSetupData", GLib.Variant("(tt)", (place, 0)))
            assert refused.value.name == INVALID_ARGS


def open_setup_data(client: Client) -> tuple[int, dict[str, Any]]:
    body, fds = client.reply("OpenSetupData")
    assert body.get_type_string() == "(ha{sv})"
    assert fds.get_length() == 1
    return fds.get(body.get_child_value(0).get_handle()), body.get_child_value(1).unpack()


def test_the_memfd_holds_the_image_and_cannot_be_changed(
    daemon: Daemon, client: Client, tree: Path
) -> None:
    image = expected_image(tree)
    fd, info = open_setup_data(client)
    try:
        assert os.lseek(fd, 0, os.SEEK_CUR) == 0
        assert os.read(fd, len(image) + 1) == image
        assert fcntl.fcntl(fd, fcntl.F_GET_SEALS) == 0xF
        with pytest.raises(PermissionError):
            os.pwrite(fd, b"x", 0)
        with pytest.raises(PermissionError):
            os.ftruncate(fd, 0)
    finally:
        os.close(fd)
    assert info == client.call("GetSetupData")[1]


def test_every_caller_gets_an_offset_of_its_own(daemon: Daemon, client: Client, tree: Path) -> None:
    first, _ = open_setup_data(client)
    second, _ = open_setup_data(client)
    try:
        os.lseek(first, 100, os.SEEK_SET)
        assert os.lseek(second, 0, os.SEEK_CUR) == 0
    finally:
        os.close(first)
        os.close(second)


def test_the_maps_are_as_sysfs_has_them(bus: PrivateBus, top: Path, client: Client) -> None:
    # With efi=debug, entries that are not handed over are in the map too.
    with served("deb12-6.1-ovmf-q35-efidebug", bus, top, client) as (root, client):
        body, _ = client.reply("GetRuntimeMap")
        assert body.get_type_string() == "(a(uutttt))"
        assert body.unpack()[0] == runtime_map(root)
        body, _ = client.reply("GetMemoryMap")
        assert body.get_type_string() == "(a(tts))"
        assert body.unpack()[0] == memory_map(root)


def test_the_excluded_ranges_are_the_regions_of_the_image(
    daemon: Daemon, client: Client, tree: Path
) -> None:
    body, _ = client.reply("GetExcludedRanges")
    assert body.get_type_string() == "(a(tts))"
    ranges = body.unpack()[0]
    assert [(start, end) for start, end, _ in ranges] == [
        (phys, phys + pages * 4096 - 1) for _, _, phys, _, pages, _ in handed_over(tree)
    ]
    assert all(why for _, _, why in ranges)


def test_a_healthy_machine_has_no_findings_of_error_or_warning(
    daemon: Daemon, client: Client
) -> None:
    body, _ = client.reply("GetFindings")
    assert body.get_type_string() == "(a(sssa{sv}))"
    assert [each for each in body.unpack()[0] if each[0] != "info"] == []


def test_the_properties_say_what_is_served(daemon: Daemon, client: Client, tree: Path) -> None:
    properties = client.get_all()
    taken = properties.pop("SnapshotTimestamp"), properties.pop("SnapshotTimestampMonotonic")
    assert "and every check passed" in properties.pop("Reason")
    assert properties == {
        "State": "ready",
        "Generation": 1,
        "Sha256": hashlib.sha256(expected_image(tree)).hexdigest(),
        "RegionCount": len(handed_over(tree)),
        "WarningCount": 0,
        "ErrorCount": 0,
        "BootID": (tree / "proc/sys/kernel/random/boot_id").read_text().strip(),
        "StartedBy": "boot-loader",
        "KexecCount": 0,
        "Receipt": {},
        "Version": __version__,
    }
    assert all(taken)


def test_get_and_describe_agree_with_getall(daemon: Daemon, client: Client) -> None:
    properties = client.get_all()
    assert {name: client.get(name) for name in properties} == properties
    assert json.loads(client.call("Describe")) == properties


def test_refresh_tells_the_generation(daemon: Daemon, client: Client) -> None:
    body, _ = client.reply("Refresh")
    assert body.get_type_string() == "(t)"
    assert body.unpack() == (1,)


def test_busctl_can_call_it_and_show_it_all(
    bus: PrivateBus, daemon: Daemon, client: Client, tree: Path
) -> None:
    def busctl(*arguments: str) -> Any:
        command = ["busctl", f"--address={bus.address}", "--json=short", *arguments]
        return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)

    place = ("org.kexecprepd1", "/org/kexecprepd1", "org.kexecprepd1.Manager")
    image, info = busctl("call", *place, "GetSetupData")["data"]
    assert bytes(image) == expected_image(tree)
    assert info["generation"] == {"type": "t", "data": 1}
    assert busctl("get-property", *place, "State") == {"type": "s", "data": "ready"}
    fd = busctl("call", *place, "OpenSetupData")
    assert fd["type"] == "ha{sv}"
