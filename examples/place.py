#!/usr/bin/python3
# SPDX-License-Identifier: MIT-0
"""Fetches the EFI image from kexecprepd and places it, as a loader that uses kexec_load(2) does;
kexecprepd-loaders(7) explains the steps. It takes PyGObject. Run it as root:

    ./place.py IMAGE EFI_INFO

IMAGE and EFI_INFO are files that it writes: the bytes for a place in memory, and the 32 bytes of
boot_params.efi_info. It prints that place, and what else goes into boot_params.
"""

import os
import struct
import sys
from pathlib import Path
from typing import Any

from gi.repository import Gio, GLib

PAGE = 4096
FLOOR = 1 << 20  # the first MiB is of no use to a loader
CEILING = 1 << 32  # this example keeps below 4 GiB
DESCRIPTORS = 112  # where the image has its memory descriptors


Range = tuple[int, int, str]  # start, end (inclusive), what it is


def handover() -> tuple[bytes, list[Range], dict[str, Any]]:
    """What GetHandover answers, all of one moment: image, memory map and info."""
    bus = Gio.bus_get_sync(Gio.BusType.SYSTEM)
    reply = bus.call_sync(
        "org.kexecprepd1",
        "/org/kexecprepd1",
        "org.kexecprepd1.Manager",
        "GetHandover",
        None,
        GLib.VariantType("(aya(tts)a{sv})"),
        Gio.DBusCallFlags.NONE,
        -1,
    )
    image = reply.get_child_value(0).get_data_as_bytes().get_data()
    return image, reply.get_child_value(1).unpack(), reply.get_child_value(2).unpack()


def choose(memory: list[Range], excluded: list[Range], size: int) -> int | None:
    """The highest page-aligned address at which `size` bytes of System RAM touch nothing that is
    taken, None where there is none. A loader's own allocator also keeps clear of its other
    segments, and of what /proc/iomem shows as reserved or as the crash kernel's.
    """
    taken = [*excluded, *(each for each in memory if each[2] != "System RAM")]
    found = []
    for start, end, kind in memory:
        address = (min(end + 1, CEILING) - size) // PAGE * PAGE
        while kind == "System RAM" and address >= max(start, FLOOR):
            hit = [t for t in taken if t[0] < address + size and t[1] >= address]
            if not hit:
                found.append(address)
                break
            address = (min(t[0] for t in hit) - size) // PAGE * PAGE
    return max(found, default=None)


def main() -> None:
    """Fetch, choose, link, and print."""
    if len(sys.argv) != 3:
        print("usage: place.py IMAGE EFI_INFO", file=sys.stderr)
        sys.exit(2)
    os.umask(0o077)  # addresses are for root alone
    try:
        image, memory, info = handover()
    except GLib.Error as error:
        sys.exit(f"place.py: GetHandover: {error.message}")
    size = -(-len(image) // PAGE) * PAGE
    address = choose(memory, info["excluded-ranges"], size)
    if address is None:
        sys.exit("place.py: There is no room for the image.")

    # The image's first 8 bytes are what follows in the list: the address of your own first
    # setup_data node. This example has none, and they are 0 already.
    efi_info = bytearray(info["efi-info"])
    low, high = (address + DESCRIPTORS) & 0xFFFF_FFFF, (address + DESCRIPTORS) >> 32
    struct.pack_into("<I", efi_info, 16, low)  # efi_memmap
    struct.pack_into("<I", efi_info, 28, high)  # efi_memmap_hi
    try:
        Path(sys.argv[1]).write_bytes(image)
        Path(sys.argv[2]).write_bytes(efi_info)
    except OSError as error:
        sys.exit(f"place.py: {error.filename}: {error.strerror}")
    where = f"{len(image)} bytes go to {address:#x}"
    print(f"generation {info['generation']}: {where}, and into boot_params:")
    print(f"  0x070  acpi_rsdp_addr  {info['acpi-rsdp']:#x}")
    print(f"  0x1c0  efi_info        {efi_info.hex()}")
    print(f"  0x1ec  secure_boot     {info['secure-boot']:#x}")
    print(f"  0x250  hdr.setup_data  {address:#x}")


if __name__ == "__main__":
    main()
