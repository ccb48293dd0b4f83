# SPDX-License-Identifier: LGPL-2.1-or-later
"""The image as it must be, from a guest's sysfs alone: nothing of kexecprepd's is used."""

from __future__ import annotations

import re
import struct

from tests.lab.guest import Guest

RUNTIME = 1 << 63


def sysfs_values(guest: Guest, folder: str) -> dict[str, str]:
    """Every file below a directory of the guest: relative path -> first line."""
    lines = guest.run(["sh", "-c", f"cd {folder} && grep -r ^ ."]).stdout.splitlines()
    values: dict[str, str] = {}
    for line in lines:
        path, _, value = line.partition(":")
        values.setdefault(path.removeprefix("./"), value)
    return values


def runtime_regions(guest: Guest) -> list[dict[str, int]]:
    """The entries of the runtime map, in the order of their numbers."""
    regions: dict[int, dict[str, int]] = {}
    for path, value in sysfs_values(guest, "/sys/firmware/efi/runtime-map").items():
        number, name = path.split("/")
        regions.setdefault(int(number), {"number": int(number)})[name] = int(value, 16)
    return [regions[number] for number in sorted(regions)]


def image(guest: Guest) -> bytes:
    """The packed image, by the layout in org.kexecprepd1(5)."""

    def efi(name: str) -> int:
        return int(guest.read_file(f"/sys/firmware/efi/{name}"), 16)

    systab = guest.read_file("/sys/firmware/efi/systab").decode().split()
    tables = dict(line.split("=") for line in systab)
    smbios = int(tables["SMBIOS"], 16) if "SMBIOS" in tables else (1 << 64) - 1
    regions = [r for r in runtime_regions(guest) if r["attribute"] & RUNTIME]
    runtime = efi("runtime")
    for r in regions:
        if r["virt_addr"] <= runtime < r["virt_addr"] + (r["num_pages"] << 12):
            runtime += r["phys_addr"] - r["virt_addr"]
    parts = [
        struct.pack("<QII", 0, 4, 96),
        struct.pack("<4Q8Q", efi("fw_vendor"), runtime, efi("config_table"), smbios, *[0] * 8),
    ]
    names = ("phys_addr", "virt_addr", "num_pages", "attribute")
    for r in sorted(regions, key=lambda r: r["phys_addr"]):
        parts.append(struct.pack("<IIQQQQ", r["type"], 0, *(r[name] for name in names)))
    return b"".join(parts)


def memory_ranges(guest: Guest) -> list[list[int | str]]:
    """Start, end and type of every range of the memory map, in the order of their numbers."""
    values = sysfs_values(guest, "/sys/firmware/memmap")
    # The kernel makes the files of a new one after the other.
    numbers = sorted(int(p.split("/")[0]) for p in values if p.endswith("/type"))
    return [
        [int(values[f"{n}/start"], 16), int(values[f"{n}/end"], 16), values[f"{n}/type"]]
        for n in numbers
    ]


def addresses(guest: Guest) -> set[int]:
    """Every address that sysfs tells root, and where each region and range ends."""
    found: set[int] = set()
    for region in runtime_regions(guest):
        size = region["num_pages"] << 12
        for name in ("phys_addr", "virt_addr"):
            found |= {region[name], region[name] + size - 1}
    for start, end, _ in memory_ranges(guest):
        found |= {int(start), int(end)}
    for name in ("fw_vendor", "runtime", "config_table", "systab"):
        text = guest.read_file(f"/sys/firmware/efi/{name}").decode()
        found |= {int(number, 16) for number in re.findall(r"0x[0-9a-f]+", text)}
    return found
