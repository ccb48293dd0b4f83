# SPDX-License-Identifier: LGPL-2.1-or-later
"""Made-up kernels: bzImages and unified kernel images that are right in every byte that counts."""

import struct
from collections.abc import Iterable
from functools import cache

from kexecprepd.core.intervals import Interval
from kexecprepd.core.snapshot import MemoryRange
from kexecprepd.loader.bzimage import BzImage, parse
from kexecprepd.loader.memory import Usable
from kexecprepd.reading.iomem import Resource
from tests.support.recordings import DATA

MIB = 1 << 20

VERSION = "6.1.0-made-up (nobody@example.org) #1 SMP"

# Offset and layout of the fields of struct setup_header, and of what stands before it in the
# image. Source: Documentation/arch/x86/boot.rst.
FIELDS = {
    "setup_sects": (0x1F1, "<B"),
    "syssize": (0x1F4, "<I"),
    "boot_flag": (0x1FE, "<H"),
    "jump": (0x200, "<B"),
    "header_length": (0x201, "<B"),
    "header": (0x202, "<4s"),
    "version": (0x206, "<H"),
    "kernel_version": (0x20E, "<H"),
    "type_of_loader": (0x210, "<B"),
    "loadflags": (0x211, "<B"),
    "ramdisk_image": (0x218, "<I"),
    "ramdisk_size": (0x21C, "<I"),
    "cmd_line_ptr": (0x228, "<I"),
    "kernel_alignment": (0x230, "<I"),
    "relocatable_kernel": (0x234, "<B"),
    "xloadflags": (0x236, "<H"),
    "cmdline_size": (0x238, "<I"),
    "hardware_subarch": (0x23C, "<I"),
    "setup_data": (0x250, "<Q"),
    "pref_address": (0x258, "<Q"),
    "init_size": (0x260, "<I"),
}


@cache
def debian_header() -> bytes:
    """The first 624 bytes of a kernel of Debian 12."""
    return bytes.fromhex((DATA / "kernels/deb12-6.1.192-header.hex").read_text())


def bzimage(protected_mode: bytes = b"\x90" * 0x800, /, **fields: int | bytes) -> bytes:
    """A relocatable 64-bit bzImage of 2 setup sectors with fields set to other values."""
    image = bytearray(3 * 512)
    values: dict[str, int | bytes] = {
        "setup_sects": 2,
        "syssize": len(protected_mode) // 16,
        "boot_flag": 0xAA55,
        "jump": 0xEB,
        "header_length": 0x6A,
        "header": b"HdrS",
        "version": 0x20F,
        "kernel_version": 0x100,
        "loadflags": 1,
        "kernel_alignment": 2 * MIB,
        "relocatable_kernel": 1,
        "xloadflags": 0x7F,
        "cmdline_size": 2047,
        "pref_address": 16 * MIB,
        "init_size": 32 * MIB,
        **fields,
    }
    for name, value in values.items():
        offset, layout = FIELDS[name]
        struct.pack_into(layout, image, offset, value)
    image[0x300 : 0x300 + len(VERSION)] = VERSION.encode()
    return bytes(image) + protected_mode


def kernel(protected_mode: bytes = b"\x90" * 0x800, /, **fields: int | bytes) -> BzImage:
    return parse(bzimage(protected_mode, **fields), "vmlinuz")


def uki(
    *sections: tuple[str, bytes],
    machine: int = 0x8664,
    headers: dict[int, dict[str, int]] | None = None,
) -> bytes:
    """A PE32+ file of these sections, in this order.

    `headers` sets fields of the n-th section's header to other values: VirtualSize,
    VirtualAddress, SizeOfRawData, PointerToRawData. Source: the PE Format specification.
    """
    optional = struct.pack("<HBB5IQ2I", 0x20B, 0, 0, 0, 0, 0, 0, 0x1000, 0, 0x1000, 0x200)
    optional += struct.pack("<6H4I2H4Q2I", *[0] * 6, 0, 0x10_0000, 0x400, 0, 10, 0, *[0] * 4, 0, 0)
    coff = struct.pack("<2H3I2H", machine, len(sections), 0, 0, 0, len(optional), 0x22)
    start = b"MZ".ljust(0x3C, b"\0") + struct.pack("<I", 0x40)
    at = 0x40 + 4 + len(coff) + len(optional) + 40 * len(sections)
    at = -(-at // 0x200) * 0x200
    table, body, virtual = b"", b"", 0x1000
    for number, (name, content) in enumerate(sections):
        padded = content.ljust(-(-len(content) // 0x200) * 0x200, b"\0")
        values = {
            "VirtualSize": len(content),
            "VirtualAddress": virtual,
            "SizeOfRawData": len(padded),
            "PointerToRawData": at + len(body) if content else 0,
            **(headers or {}).get(number, {}),
        }
        table += struct.pack("<8s4I16x", name.encode(), *values.values())
        body += padded
        virtual += -(-max(len(content), 1) // 0x1000) * 0x1000
    return (start + b"PE\0\0" + coff + optional + table).ljust(at, b"\0") + body


def memory_map(*ranges: tuple[int, int, str]) -> tuple[MemoryRange, ...]:
    """(start, end, name) in order; ends are inclusive."""
    return tuple(MemoryRange(number, *each) for number, each in enumerate(ranges))


def resources(*lines: tuple[int, int, str] | tuple[int, int, str, int]) -> tuple[Resource, ...]:
    """(start, end, name[, depth]) in order, as in /proc/iomem."""
    return tuple(Resource(*each[:3], each[3] if len(each) == 4 else 0) for each in lines)


def free(*parts: tuple[int, int]) -> Usable:
    """Memory of which just these parts are free; ends are inclusive."""
    return Usable(tuple(Interval(*part) for part in parts), ())


def shown_by(ranges: Iterable[MemoryRange]) -> tuple[Resource, ...]:
    """The same memory map as /proc/iomem has it, with nothing nested."""
    return tuple(Resource(r.start, r.end, r.type, 0) for r in ranges)
