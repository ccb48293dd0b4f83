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
from .snapshot import Snapshot

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


class Placer:
    """Places one image; what the snapshot alone decides is worked out once."""

    def __init__(self, data: bytes, snapshot: Snapshot) -> None:
        self._data = data
        self._snapshot = snapshot
        self._excluded = excluded_ranges(snapshot)
        self._excluded_union = intervals.union(each.extent for each in self._excluded)
        memory_map = snapshot.memory_map or ()
        self._others = tuple(each for each in memory_map if not each.is_ram)
        self._others_union = intervals.union(each.extent for each in self._others)
        self._ram = intervals.union(each.extent for each in memory_map if each.is_ram)

    def place(self, address: int, next_node: int) -> tuple[bytes, bytes]:
        """Link the image for a physical address: (image with `next` set, boot_params.efi_info).

        Raises PlacementError where the address is unaligned, wraps, is not all System RAM, or
        touches an excluded range, and where `next_node` would tie the list into a loop.
        """
        size = len(self._data)
        wanted = Interval(address, address + size - 1)
        if address % ALIGNMENT:
            raise PlacementError(f"address {address:#x} is not aligned to {ALIGNMENT} bytes")
        if wanted.end >= 1 << 64:
            raise PlacementError(f"an image of {size} bytes at {address:#x} wraps around 2^64")
        descriptors = (address + DESCRIPTORS_OFFSET) % PAGE_SIZE + size - DESCRIPTORS_OFFSET
        if descriptors > EARLY_WINDOW:
            raise PlacementError(
                f"at {address:#x} the descriptors span more than the 64 pages that the next kernel "
                "maps early; try a page-aligned address"
            )
        if wanted.start < PAGE_SIZE:
            raise PlacementError(
                f"address {address:#x} lies in page 0, which the next kernel does not keep"
            )
        self._require_ram(wanted)
        if intervals.overlaps(self._excluded_union, wanted):
            excluded = intervals.touching(self._excluded, wanted)[0]
            raise PlacementError(
                f"{wanted.start:#x}-{wanted.end:#x} touches the excluded range "
                f"{excluded.start:#x}-{excluded.end:#x} ({excluded.why})"
            )
        if wanted.start <= next_node <= wanted.end:
            raise PlacementError(f"next {next_node:#x} points into the image itself")
        return relink(self._data, next_node), efi_info(self._snapshot, address)

    def _require_ram(self, wanted: Interval) -> None:
        if self._snapshot.memory_map is None:
            raise PlacementError("the kernel shows no memory map to tell System RAM by")
        if intervals.overlaps(self._others_union, wanted):
            taken = intervals.touching(self._others, wanted)[0]
            raise PlacementError(
                f"{wanted.start:#x}-{wanted.end:#x} is not System RAM but {taken.type}"
            )
        if not intervals.covers(self._ram, wanted):
            raise PlacementError(f"{wanted.start:#x}-{wanted.end:#x} is not System RAM throughout")
