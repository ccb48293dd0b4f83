# SPDX-License-Identifier: LGPL-2.1-or-later
"""The image: the setup_data node and the memory descriptors that the next kernel needs.

Little-endian, position-independent, in one piece:

    0    struct setup_data       next = 0, type = 4 (SETUP_EFI), len = 96
    16   struct efi_setup_data   fw_vendor, runtime, tables, smbios, 8 reserved (u64 each)
    112  EFI memory descriptors  40 bytes each: type u32, pad u32, phys_addr, virt_addr,
                                 num_pages, attribute (u64 each), ascending by phys_addr

Sources: arch/x86/include/uapi/asm/setup_data.h, arch/x86/include/asm/efi.h, and UEFI
Specification 2.10, section 7.2.3. The next kernel reads it in arch/x86/platform/efi/quirks.c
(efi_reuse_config) and arch/x86/platform/efi/efi_64.c (kexec_enter_virtual_mode).
"""

import hashlib
import struct
from dataclasses import dataclass

from ..abi.efi import DESCRIPTOR_VERSION, KERNEL_HALF, PAGE_SIZE, UNSET, type_name
from ..reading.sysfs import SETUP_EFI
from . import intervals
from .intervals import Interval
from .snapshot import MemoryRange, RuntimeRegion, Snapshot

_SETUP_DATA = struct.Struct("<QII")
_EFI_SETUP_DATA = struct.Struct("<4Q64x")
_DESCRIPTOR = struct.Struct("<IIQQQQ")
_EFI_INFO = struct.Struct("<4s7I")

DESCRIPTORS_OFFSET = _SETUP_DATA.size + _EFI_SETUP_DATA.size
"""Where the descriptors begin, in bytes: 112."""

DESCRIPTOR_SIZE = _DESCRIPTOR.size
"""Bytes of one descriptor: 40."""

_EARLY_WINDOW = 64 * PAGE_SIZE
"""What the next kernel can map of the descriptors, with the pages that they begin and end in."""

MAX_REGIONS = (_EARLY_WINDOW - DESCRIPTORS_OFFSET) // DESCRIPTOR_SIZE
"""How many descriptors fit the next kernel's early mapping in an image that is page-aligned."""

IMAGE_ALIGNMENT = 8
"""Bytes; struct setup_data holds a u64 first."""

SIGNATURE_64 = b"EL64"
"""boot_params.efi_info.efi_loader_signature of a 64-bit firmware."""


class ImageError(ValueError):
    """The bytes are not an image, or a snapshot lacks what an image needs."""


class PlacementError(ValueError):
    """The image cannot be placed there; the text says why."""


@dataclass(frozen=True, slots=True)
class Image:
    """An image taken apart, or about to be put together; addresses in bytes."""

    fw_vendor: int
    runtime: int
    tables: int
    smbios: int
    regions: tuple[RuntimeRegion, ...]

    def pack(self) -> bytes:
        """The image's bytes, with `next` 0."""
        parts = [
            _SETUP_DATA.pack(0, SETUP_EFI, _EFI_SETUP_DATA.size),
            _EFI_SETUP_DATA.pack(self.fw_vendor, self.runtime, self.tables, self.smbios),
        ]
        parts += (
            _DESCRIPTOR.pack(r.type, 0, r.phys_addr, r.virt_addr, r.num_pages, r.attribute)
            for r in self.regions
        )
        return b"".join(parts)


def unpack(data: bytes) -> Image:
    """Take an image apart; the regions are numbered in their order.

    Raises ImageError for bytes that `Image.pack` would not have made.
    """
    size = len(data) - DESCRIPTORS_OFFSET
    if size < 0 or size % DESCRIPTOR_SIZE:
        raise ImageError(f"{len(data)} bytes are not an image's length: 112 + 40 for each region")
    next_node, kind, length = _SETUP_DATA.unpack_from(data)
    if (next_node, kind, length) != (0, SETUP_EFI, _EFI_SETUP_DATA.size):
        raise ImageError("the header is not that of an unlinked SETUP_EFI node")
    if any(data[_SETUP_DATA.size + 32 : DESCRIPTORS_OFFSET]):
        raise ImageError("reserved fields of struct efi_setup_data are not zero")
    fw_vendor, runtime, tables, smbios = _EFI_SETUP_DATA.unpack_from(data, _SETUP_DATA.size)
    regions = []
    for number, (kind, pad, *rest) in enumerate(_DESCRIPTOR.iter_unpack(data[DESCRIPTORS_OFFSET:])):
        if pad:
            raise ImageError(f"the padding of descriptor {number} is not zero")
        regions.append(RuntimeRegion(number, kind, *rest))
    return Image(fw_vendor, runtime, tables, smbios, tuple(regions))


def unpack_setup(payload: bytes) -> tuple[int, int, int, int]:
    """fw_vendor, runtime, tables and smbios of a SETUP_EFI payload (struct efi_setup_data).

    Raises ImageError for one that is too short.
    """
    if len(payload) < _EFI_SETUP_DATA.size:
        raise ImageError(f"{len(payload)} bytes are no struct efi_setup_data")
    fw_vendor, runtime, tables, smbios = _EFI_SETUP_DATA.unpack_from(payload)
    return fw_vendor, runtime, tables, smbios


def compose(snapshot: Snapshot) -> Image:
    """What the next kernel is told: the same in every kernel of one power-on.

    Raises ImageError where the snapshot has no EFI tables to tell of.
    """
    efi = snapshot.efi
    if efi is None or efi.fw_vendor is None or efi.config_table is None:
        raise ImageError("there are no EFI tables on this system")
    smbios = efi.table("SMBIOS")
    return Image(
        fw_vendor=efi.fw_vendor,
        # Unread since Linux 5.7; older kernels take it as physical, and 0 as not there.
        runtime=physical_runtime(snapshot) or 0,
        tables=efi.config_table,
        # All-ones and not 0, as the kernel's own loader has it: with 0 the next kernel skips
        # the loop that also drops the stale memory attributes table (efi_reuse_config).
        smbios=UNSET if smbios is None else smbios,
        regions=snapshot.runtime_regions,
    )


def physical_runtime(snapshot: Snapshot) -> int | None:
    """Physical address of the runtime services table.

    A kernel that was itself started by kexec shows the virtual one: the firmware has converted
    it in RAM. None where a virtual one lies in no region of the map.
    """
    shown = snapshot.efi.runtime if snapshot.efi else None
    if shown is None or shown < KERNEL_HALF:
        return shown
    for region in snapshot.runtime_regions:
        if region.virt_addr <= shown <= region.virt_end:
            return shown - region.virt_addr + region.phys_addr
    return None


def sha256(data: bytes) -> str:
    """Hexadecimal digest of an image."""
    return hashlib.sha256(data).hexdigest()


def efi_info(snapshot: Snapshot, image_address: int | None = None) -> bytes:
    """The 32 bytes of boot_params.efi_info for an image at a physical address.

    Without an address the memmap fields are 0 and the loader fills them in. All bytes are 0
    where this kernel has none of its own to pass on: half an efi_info crashes the next kernel.
    Source: struct efi_info in arch/x86/include/uapi/asm/bootparam.h.
    """
    params = snapshot.boot_params
    if params is None or params.efi_signature != SIGNATURE_64:
        return bytes(_EFI_INFO.size)
    memmap = 0 if image_address is None else image_address + DESCRIPTORS_OFFSET
    return _EFI_INFO.pack(
        params.efi_signature,
        params.efi_systab & 0xFFFF_FFFF,
        DESCRIPTOR_SIZE,
        DESCRIPTOR_VERSION,
        memmap & 0xFFFF_FFFF,
        DESCRIPTOR_SIZE * len(snapshot.runtime_regions),
        params.efi_systab >> 32,
        memmap >> 32,
    )


def acpi_rsdp(snapshot: Snapshot) -> int:
    """Physical address of ACPI's root pointer for boot_params.acpi_rsdp_addr, 0 where unknown.

    What this kernel was told comes first, then the firmware's ACPI 2.0 and 1.0 tables.
    """
    if snapshot.boot_params and snapshot.boot_params.acpi_rsdp:
        return snapshot.boot_params.acpi_rsdp
    tables = dict(snapshot.efi.systab) if snapshot.efi else {}
    return tables.get("ACPI20") or tables.get("ACPI") or 0


@dataclass(frozen=True, slots=True)
class ExcludedRange:
    """Memory in which a loader must place nothing; `end` is inclusive."""

    start: int
    end: int
    why: str


def excluded_ranges(snapshot: Snapshot) -> tuple[ExcludedRange, ...]:
    """Every region of the image, ascending.

    The memory map calls the boot-services ones System RAM though they hold firmware tables
    (ESRT, BGRT, MOK variables, memory attributes) that the next kernel looks up.
    """
    return tuple(
        ExcludedRange(region.phys_addr, region.phys_end, f"EFI runtime: {type_name(region.type)}")
        for region in snapshot.runtime_regions
    )


def place(data: bytes, snapshot: Snapshot, address: int, next_node: int) -> tuple[bytes, bytes]:
    """Link an image for a physical address: (image with `next` set, boot_params.efi_info).

    Raises PlacementError where the address is unaligned, wraps, is not all System RAM, or
    touches an excluded range, and where `next_node` would tie the list into a loop.
    """
    wanted = Interval(address, address + len(data) - 1)
    if address % IMAGE_ALIGNMENT:
        raise PlacementError(f"address {address:#x} is not aligned to {IMAGE_ALIGNMENT} bytes")
    if wanted.end >= 1 << 64:
        raise PlacementError(f"an image of {len(data)} bytes at {address:#x} wraps around 2^64")
    descriptors = (address + DESCRIPTORS_OFFSET) % PAGE_SIZE + len(data) - DESCRIPTORS_OFFSET
    if descriptors > _EARLY_WINDOW:
        raise PlacementError(
            f"at {address:#x} the descriptors span more than the 64 pages that the next kernel "
            "maps early; try a page-aligned address"
        )
    if wanted.start < PAGE_SIZE:
        raise PlacementError(
            f"address {address:#x} lies in page 0, which the next kernel does not keep"
        )
    _require_ram(snapshot.memory_map, wanted)
    for excluded in excluded_ranges(snapshot):
        if excluded.start <= wanted.end and wanted.start <= excluded.end:
            raise PlacementError(
                f"{wanted.start:#x}-{wanted.end:#x} touches the excluded range "
                f"{excluded.start:#x}-{excluded.end:#x} ({excluded.why})"
            )
    if wanted.start <= next_node <= wanted.end:
        raise PlacementError(f"next {next_node:#x} points into the image itself")
    return struct.pack("<Q", next_node) + data[8:], efi_info(snapshot, address)


def _require_ram(memory_map: tuple[MemoryRange, ...] | None, wanted: Interval) -> None:
    if memory_map is None:
        raise PlacementError("the kernel shows no memory map to tell System RAM by")
    united = intervals.union(Interval(r.start, r.end) for r in memory_map if r.is_ram)
    others = [r for r in memory_map if not r.is_ram]
    taken = intervals.touching(others, wanted, lambda r: Interval(r.start, r.end))
    if taken:
        raise PlacementError(
            f"{wanted.start:#x}-{wanted.end:#x} is not System RAM but {taken[0].type}"
        )
    if not intervals.covers(united, wanted):
        raise PlacementError(f"{wanted.start:#x}-{wanted.end:#x} is not System RAM throughout")
