# SPDX-License-Identifier: LGPL-2.1-or-later
"""The image: the setup_data node and the memory descriptors that the next kernel needs.

Little-endian, position-independent, in one piece:

    0    struct setup_data       next = 0, type = 4 (SETUP_EFI), len = 96
    16   struct efi_setup_data   fw_vendor, runtime, tables, smbios, 8 reserved (u64 each)
    112  EFI memory descriptors  40 bytes each: type u32, pad u32, phys_addr, virt_addr,
                                 num_pages, attribute (u64 each), ascending by phys_addr; all
                                 have the RUNTIME attribute

Sources: arch/x86/include/uapi/asm/setup_data.h, arch/x86/include/asm/efi.h, and UEFI
Specification 2.10, section 7.2.3. The next kernel reads it in arch/x86/platform/efi/quirks.c
(efi_reuse_config) and arch/x86/platform/efi/efi_64.c (kexec_enter_virtual_mode).
"""

import hashlib
from dataclasses import dataclass

from ..abi.bootparam import EFI_INFO, SIGNATURE_64, EfiInfo
from ..abi.efi import DESCRIPTOR_VERSION, KERNEL_HALF, MEMORY_DESCRIPTOR, PAGE_SIZE, U64, UNSET
from ..abi.setup_data import (
    EFI_SETUP_DATA_SIZE,
    HEADER_SIZE,
    SETUP_EFI,
    EfiSetupData,
    Header,
    pack_node,
    reserved,
    unpack_efi_setup_data,
    unpack_header,
)
from .errors import KexecprepdError
from .snapshot import RuntimeRegion, Snapshot

DESCRIPTORS_OFFSET = HEADER_SIZE + EFI_SETUP_DATA_SIZE
"""Where the descriptors begin, in bytes: 112."""

DESCRIPTOR_SIZE = MEMORY_DESCRIPTOR.size
"""Bytes of one descriptor: 40."""

EARLY_WINDOW = 64 * PAGE_SIZE
"""What the next kernel can map of the descriptors, with the pages that they begin and end in."""

MAX_REGIONS = (EARLY_WINDOW - DESCRIPTORS_OFFSET) // DESCRIPTOR_SIZE
"""How many descriptors fit the next kernel's early mapping in an image that is page-aligned."""


class ImageError(KexecprepdError):
    """The bytes are not an image, or a snapshot lacks what an image needs."""

    LEAD = "There is no image"


@dataclass(frozen=True, slots=True)
class Image:
    """An image taken apart, or about to be put together; addresses in bytes."""

    tables: EfiSetupData
    regions: tuple[RuntimeRegion, ...]

    def pack(self) -> bytes:
        """The image's bytes, with `next` 0."""
        descriptors = (
            MEMORY_DESCRIPTOR.pack(r.type, 0, r.phys_addr, r.virt_addr, r.num_pages, r.attribute)
            for r in self.regions
        )
        return b"".join((pack_node(0, SETUP_EFI, self.tables.pack()), *descriptors))


def unpack(data: bytes) -> Image:
    """Take an image apart; the regions are numbered in their order.

    Raises ImageError for bytes that `Image.pack` would not have made.
    """
    size = len(data) - DESCRIPTORS_OFFSET
    if size < 0 or size % DESCRIPTOR_SIZE:
        raise ImageError(f"{len(data)} bytes are not an image's length: 112 + 40 for each region")
    if unpack_header(data) != Header(0, SETUP_EFI, EFI_SETUP_DATA_SIZE):
        raise ImageError("the header is not that of an unlinked SETUP_EFI node")
    payload = data[HEADER_SIZE:DESCRIPTORS_OFFSET]
    if any(reserved(payload)):
        raise ImageError("reserved fields of struct efi_setup_data are not zero")
    regions = []
    descriptors = MEMORY_DESCRIPTOR.iter_unpack(data[DESCRIPTORS_OFFSET:])
    for number, (kind, pad, *rest) in enumerate(descriptors):
        if pad:
            raise ImageError(f"the padding of descriptor {number} is not zero")
        regions.append(RuntimeRegion(number, kind, *rest))
    return Image(unpack_efi_setup_data(payload), tuple(regions))


def compose(snapshot: Snapshot) -> Image:
    """What the next kernel is told: the same in every kernel of one power-on.

    Raises ImageError where the snapshot has no EFI tables to tell of.
    """
    efi = snapshot.efi
    if efi is None or efi.fw_vendor is None or efi.config_table is None:
        raise ImageError("there are no EFI tables on this system")
    smbios = efi.table("SMBIOS")
    tables = EfiSetupData(
        fw_vendor=efi.fw_vendor,
        # Unread since Linux 5.7; older kernels take it as physical, and 0 as not there.
        runtime=physical_runtime(snapshot) or 0,
        tables=efi.config_table,
        # All-ones and not 0, as the kernel's own loader has it: with 0 the next kernel skips
        # the loop that also drops the stale memory attributes table (efi_reuse_config).
        smbios=UNSET if smbios is None else smbios,
    )
    return Image(tables, snapshot.runtime_regions)


def physical_runtime(snapshot: Snapshot) -> int | None:
    """Physical address of the runtime services table.

    A kernel that was itself started by kexec shows the virtual one: the firmware has converted
    it in RAM. None where a virtual one lies in no region, or would be beyond the address space.
    """
    shown = snapshot.efi.runtime if snapshot.efi else None
    if shown is None or shown < KERNEL_HALF:
        return shown
    for region in snapshot.runtime_regions:
        if region.virt_addr <= shown <= region.virt_end:
            physical = shown - region.virt_addr + region.phys_addr
            return physical if physical <= U64 else None
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
    if params is None or params.efi_info.signature != SIGNATURE_64:
        return bytes(EFI_INFO.size)
    return EfiInfo(
        signature=SIGNATURE_64,
        systab=params.efi_info.systab,
        memdesc_size=DESCRIPTOR_SIZE,
        memdesc_version=DESCRIPTOR_VERSION,
        memmap=0 if image_address is None else image_address + DESCRIPTORS_OFFSET,
        memmap_size=DESCRIPTOR_SIZE * len(snapshot.runtime_regions),
    ).pack()


def acpi_rsdp(snapshot: Snapshot) -> int:
    """Physical address of ACPI's root pointer for boot_params.acpi_rsdp_addr, 0 where unknown.

    What this kernel was told comes first, then the firmware's ACPI 2.0 and 1.0 tables.
    """
    if snapshot.boot_params and snapshot.boot_params.acpi_rsdp:
        return snapshot.boot_params.acpi_rsdp
    tables = dict(snapshot.efi.systab) if snapshot.efi else {}
    return tables.get("ACPI20") or tables.get("ACPI") or 0
