# SPDX-License-Identifier: LGPL-2.1-or-later
"""Where the image, and anything else that a loader places, may lie in memory."""

from dataclasses import dataclass

from ..abi.efi import PAGE_SIZE, type_name
from ..abi.setup_data import ALIGNMENT, relink
from . import intervals
from .errors import KexecprepdError
from .image import DESCRIPTORS_OFFSET, EARLY_WINDOW, efi_info
from .intervals import Interval
from .presence import absent_ranges
from .snapshot import MemoryRange, Snapshot

ABSENT = "memory that is not present"
"""Why absent memory is excluded."""


class PlacementError(KexecprepdError):
    """The image cannot be placed there; the text says why."""

    LEAD = "The image cannot be placed"


@dataclass(frozen=True, slots=True)
class ExcludedRange:
    """Memory in which a loader must place nothing; `end` is inclusive."""

    start: int
    end: int
    why: str

    @property
    def extent(self) -> Interval:
        """Its physical addresses."""
        return Interval(self.start, self.end)


def excluded_ranges(snapshot: Snapshot) -> tuple[ExcludedRange, ...]:
    """Every region of the image, every other boot-services entry of the runtime map, and memory
    that is listed but absent; ascending.

    The memory map calls the boot-services ones System RAM though they hold firmware tables
    (ESRT, BGRT, MOK variables, memory attributes) that the next kernel looks up.
    """
    firmware = [(region, "EFI runtime") for region in snapshot.runtime_regions]
    firmware += [(region, "EFI boot services") for region in snapshot.left_out]
    regions = (
        ExcludedRange(region.phys_addr, region.phys_end, f"{kind}: {type_name(region.type)}")
        for region, kind in firmware
    )
    absent = (ExcludedRange(each.start, each.end, ABSENT) for each in absent_ranges(snapshot))
    return tuple(sorted((*regions, *absent), key=lambda each: (each.start, each.end)))


def place(data: bytes, snapshot: Snapshot, address: int, next_node: int) -> tuple[bytes, bytes]:
    """Link an image for a physical address: (image with `next` set, boot_params.efi_info).

    Raises PlacementError where the address is unaligned, wraps, is not all System RAM, or
    touches an excluded range, and where `next_node` would tie the list into a loop.
    """
    wanted = Interval(address, address + len(data) - 1)
    if address % ALIGNMENT:
        raise PlacementError(f"address {address:#x} is not aligned to {ALIGNMENT} bytes")
    if wanted.end >= 1 << 64:
        raise PlacementError(f"an image of {len(data)} bytes at {address:#x} wraps around 2^64")
    descriptors = (address + DESCRIPTORS_OFFSET) % PAGE_SIZE + len(data) - DESCRIPTORS_OFFSET
    if descriptors > EARLY_WINDOW:
        raise PlacementError(
            f"at {address:#x} the descriptors span more than the 64 pages that the next kernel "
            "maps early; try a page-aligned address"
        )
    if wanted.start < PAGE_SIZE:
        raise PlacementError(
            f"address {address:#x} lies in page 0, which the next kernel does not keep"
        )
    _require_ram(snapshot.memory_map, wanted)
    for excluded in intervals.touching(excluded_ranges(snapshot), wanted):
        raise PlacementError(
            f"{wanted.start:#x}-{wanted.end:#x} touches the excluded range "
            f"{excluded.start:#x}-{excluded.end:#x} ({excluded.why})"
        )
    if wanted.start <= next_node <= wanted.end:
        raise PlacementError(f"next {next_node:#x} points into the image itself")
    return relink(data, next_node), efi_info(snapshot, address)


def _require_ram(memory_map: tuple[MemoryRange, ...] | None, wanted: Interval) -> None:
    if memory_map is None:
        raise PlacementError("the kernel shows no memory map to tell System RAM by")
    united = intervals.union(each.extent for each in memory_map if each.is_ram)
    others = [r for r in memory_map if not r.is_ram]
    taken = intervals.touching(others, wanted)
    if taken:
        raise PlacementError(
            f"{wanted.start:#x}-{wanted.end:#x} is not System RAM but {taken[0].type}"
        )
    if not intervals.covers(united, wanted):
        raise PlacementError(f"{wanted.start:#x}-{wanted.end:#x} is not System RAM throughout")
