# SPDX-License-Identifier: LGPL-2.1-or-later
"""Explains bytes that are handed from kernel to kernel, field by field.

All are little-endian; offsets and sizes are in bytes, addresses physical unless a field says so.
Sources: those of abi.bootparam, abi.setup_data and abi.efi, for the formats.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from ..abi import bootparam
from ..abi.bootparam import E820_NAMES, SECURE_BOOT_MODES, Field, unpack_e820, unpack_efi_info
from ..abi.efi import MEMORY_DESCRIPTOR, UNSET, attribute_names, type_name
from ..abi.setup_data import (
    EFI_SETUP_DATA_SIZE,
    HEADER_SIZE,
    SETUP_APPLE_PROPERTIES,
    SETUP_E820_EXT,
    SETUP_EFI,
    SETUP_KEXP,
    SETUP_PCI,
    SETUP_RNG_SEED,
    unpack_efi_setup_data,
    unpack_header,
)
from . import image, receipt
from .errors import KexecprepdError
from .image import DESCRIPTOR_SIZE, DESCRIPTORS_OFFSET, ImageError
from .receipt import Receipt

_TYPES = {
    SETUP_E820_EXT: "SETUP_E820_EXT",
    2: "SETUP_DTB",
    SETUP_PCI: "SETUP_PCI",
    SETUP_EFI: "SETUP_EFI",
    SETUP_APPLE_PROPERTIES: "SETUP_APPLE_PROPERTIES",
    6: "SETUP_JAILHOUSE",
    7: "SETUP_CC_BLOB",
    8: "SETUP_IMA",
    SETUP_RNG_SEED: "SETUP_RNG_SEED",
    SETUP_KEXP: "kexecprepd's receipt",
}
"""enum setup_data_type, and ours."""

_E820_SIZE = 20
_DESCRIPTOR = (
    ("type", 4),
    ("pad", 4),
    ("phys_addr", 8),
    ("virt_addr", 8),
    ("num_pages", 8),
    ("attribute", 8),
)


class DecodeError(KexecprepdError):
    """The bytes are nothing that is known here, or end too early."""


@dataclass(frozen=True, slots=True)
class Item:
    """A field: where it is, its value, and what that means, "" where the value says it all."""

    offset: int
    size: int
    name: str
    value: int | str
    meaning: str = ""


@dataclass(frozen=True, slots=True)
class Decoded:
    """What bytes are, in words, their fields in their order, and what is odd about them."""

    kind: str
    items: tuple[Item, ...]
    notes: tuple[str, ...] = ()


def decode(data: bytes) -> Decoded:
    """Tell what the bytes are, and take them apart. Raises DecodeError.

    Known are boot_params, setup_data nodes with their header, the image among them.
    """
    if len(data) == bootparam.SIZE and _is_boot_params(data):
        return Decoded("boot_params", tuple(_boot_params(data)))
    if len(data) < HEADER_SIZE:
        raise DecodeError(f"{len(data)} bytes are less than a setup_data node's header.")
    header = unpack_header(data)
    if header.type not in _TYPES:
        known = "neither boot_params, a setup_data node, a receipt nor a snapshot.json"
        raise DecodeError(f"These bytes are {known}.")
    if header.length > len(data) - HEADER_SIZE:
        there = len(data) - HEADER_SIZE
        sentence = f"It ends too early: {there} bytes follow a header that announces"
        raise DecodeError(f"{sentence} {header.length}.")
    rest = len(data) - HEADER_SIZE - header.length
    if header.type == SETUP_EFI and rest:
        return _image(data)
    items = (*_header(data), *payload(header.type, data[HEADER_SIZE:][: header.length]))
    notes = (f"{rest} bytes follow the node.",) if rest else ()
    return Decoded("setup_data node", items, notes)


def payload(kind: int, data: bytes, offset: int = HEADER_SIZE) -> tuple[Item, ...]:
    """A node's payload by its type. Raises DecodeError."""
    if kind == SETUP_EFI:
        if len(data) < EFI_SETUP_DATA_SIZE:
            raise DecodeError(f"A SETUP_EFI node has {len(data)} bytes in place of 96.")
        return tuple(_efi(data, offset))
    if kind == SETUP_E820_EXT:
        return tuple(_e820(data, offset))
    if kind == SETUP_KEXP:
        return of_receipt(data, offset)
    words = "secret, and not shown" if kind == SETUP_RNG_SEED else "not looked into"
    return (Item(offset, len(data), "payload", words),)


def of_receipt(data: bytes, offset: int = 0) -> tuple[Item, ...]:
    """A receipt's members. Raises DecodeError."""
    told = receipt.parse(data)
    if not isinstance(told, Receipt):
        raise DecodeError(f"This is no receipt that can be used: {told.problem}.")
    return tuple(
        Item(
            offset,
            len(data),
            name,
            " ".join(value) if isinstance(value, list) else value,
            _RECEIPT.get(name, ""),
        )
        for name, value in told.members().items()
    )


_RECEIPT = {
    "from-boot-id": "the kernel that loaded this one",
    "sha256": "of the image; empty without EFI",
    "region-count": "regions in the image",
    "loaded-at": "microseconds since 1970",
    "kexec-count": "kexecs since power-on",
    "generation": "the daemon's count",
    "had": "what that kernel had of the firmware",
    "kept": "by systemd, for its daemon; no loader wrote it",
}


def _is_boot_params(data: bytes) -> bool:
    magic = bootparam.HEADER_MAGIC.get(data) == bootparam.MAGIC
    signature = unpack_efi_info(bootparam.EFI_INFO.get(data)).signature
    return magic or signature in (bootparam.SIGNATURE_64, bootparam.SIGNATURE_32)


def _header(data: bytes) -> Iterator[Item]:
    header = unpack_header(data)
    following = "the next node's address" if header.next else "the end of the list"
    yield Item(0, 8, "next", header.next, following)
    yield Item(8, 4, "type", header.type, _TYPES[header.type])
    yield Item(12, 4, "len", header.length, "bytes that follow")


def _efi(data: bytes, offset: int) -> Iterator[Item]:
    tables = unpack_efi_setup_data(data)
    yield Item(offset, 8, "fw_vendor", tables.fw_vendor)
    yield Item(offset + 8, 8, "runtime", tables.runtime, "unread since Linux 5.7")
    yield Item(offset + 16, 8, "tables", tables.tables, "the configuration tables")
    none = "there is no SMBIOS entry point" if tables.smbios == UNSET else ""
    yield Item(offset + 24, 8, "smbios", tables.smbios, none)


def _image(data: bytes) -> Decoded:
    if (len(data) - DESCRIPTORS_OFFSET) % DESCRIPTOR_SIZE:
        number = (len(data) - DESCRIPTORS_OFFSET) // DESCRIPTOR_SIZE
        raise DecodeError(f"It ends too early: within descriptor {number}.")
    items = [*_header(data), *_efi(data[HEADER_SIZE:DESCRIPTORS_OFFSET], HEADER_SIZE)]
    for number, values in enumerate(MEMORY_DESCRIPTOR.iter_unpack(data[DESCRIPTORS_OFFSET:])):
        at = DESCRIPTORS_OFFSET + number * DESCRIPTOR_SIZE
        for (name, length), value in zip(_DESCRIPTOR, values, strict=True):
            items.append(Item(at, length, f"{number}.{name}", value, _meaning(name, value)))
            at += length
    notes = []
    try:
        image.unpack(bytes(8) + data[8:])
    except ImageError as error:
        notes.append(f"It is not as kexecprepd makes it: {error.reason}.")
    if unpack_header(data).next:
        notes.append("It is linked: its digest is not that of the image as it is served.")
    return Decoded("image", tuple(items), tuple(notes))


def _meaning(name: str, value: int) -> str:
    if name == "type":
        return type_name(value)
    if name == "num_pages":
        return f"{value * 4} KiB"
    return " ".join(attribute_names(value)) if name == "attribute" else ""


def _boot_params(data: bytes) -> Iterator[Item]:
    def item(name: str, field: Field, meaning: str = "") -> Item:
        size = struct.calcsize(field.layout)
        return Item(field.offset, size, name, field.get(data), meaning)

    yield item("orig_video_isVGA", bootparam.ORIG_VIDEO_ISVGA, "what kind of screen")
    yield item("acpi_rsdp_addr", bootparam.ACPI_RSDP_ADDR, "0 where a table of EFI's is taken")
    info, at = unpack_efi_info(bootparam.EFI_INFO.get(data)), bootparam.EFI_INFO.offset
    yield Item(at, 4, "efi_loader_signature", info.signature.decode("ascii", "backslashreplace"))
    yield Item(at + 4, 4, "efi_systab", info.systab, "with its upper half at 0x1d8")
    yield Item(at + 8, 4, "efi_memdesc_size", info.memdesc_size)
    yield Item(at + 12, 4, "efi_memdesc_version", info.memdesc_version)
    yield Item(at + 16, 4, "efi_memmap", info.memmap, "with its upper half at 0x1dc")
    yield Item(at + 20, 4, "efi_memmap_size", info.memmap_size)
    yield item("e820_entries", bootparam.E820_ENTRIES)
    mode = bootparam.SECURE_BOOT.get(data)
    yield item("secure_boot", bootparam.SECURE_BOOT, SECURE_BOOT_MODES.get(mode, ""))
    yield item("sentinel", bootparam.SENTINEL)
    yield item("version", bootparam.VERSION, "of the boot protocol")
    loader = bootparam.TYPE_OF_LOADER.get(data)
    by_kexec = "kexec" if loader >> 4 == bootparam.LOADER_KEXEC else ""
    yield item("type_of_loader", bootparam.TYPE_OF_LOADER, by_kexec)
    yield item("xloadflags", bootparam.XLOADFLAGS)
    yield item("setup_data", bootparam.SETUP_DATA, "the first node's address")
    table = bootparam.E820_TABLE.get(data)[: bootparam.E820_ENTRIES.get(data) * _E820_SIZE]
    yield from _e820(table, bootparam.E820_TABLE.offset)


def _e820(table: bytes, offset: int) -> Iterator[Item]:
    for number, entry in enumerate(unpack_e820(table)):
        at = offset + number * _E820_SIZE
        yield Item(at, 8, f"e820.{number}.addr", entry.start)
        yield Item(at + 8, 8, f"e820.{number}.size", entry.size)
        yield Item(at + 16, 4, f"e820.{number}.type", entry.type, E820_NAMES.get(entry.type, ""))
