# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the rules look at: a snapshot, and what several of them need of it, worked out once."""

from functools import cached_property

from ...abi.efi import PAGE_SHIFT, PHYSICAL_BITS
from ..intervals import Interval, union
from ..snapshot import MemoryRange, RuntimeRegion, Snapshot
from .fit import Place, places

MAX_PAGES = (1 << 31) - 1
"""populate_pud() in arch/x86/mm/pat/set_memory.c counts mapped pages in an int."""

_PHYSICAL_PAGES = 1 << PHYSICAL_BITS - PAGE_SHIFT


def overflows(region: RuntimeRegion) -> bool:
    """Whether it reaches beyond what there is, or has more pages than can be counted."""
    # Within what the kernel's own filter lets pass, efi_memmap_entry_valid(), which stops at 2^64.
    pages = (region.phys_addr >> PAGE_SHIFT) + region.num_pages
    return region.num_pages > MAX_PAGES or pages > _PHYSICAL_PAGES


class Survey:
    """A snapshot under examination; what is derived from it is derived when it is first asked."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot

    @cached_property
    def sound(self) -> tuple[RuntimeRegion, ...]:
        """The regions whose extent means something, for rules that compare extents."""
        regions = self.snapshot.runtime_regions
        return tuple(r for r in regions if r.num_pages and not overflows(r))

    @cached_property
    def upright(self) -> tuple[MemoryRange, ...]:
        """The ranges of the memory map that do not end before they begin."""
        return tuple(r for r in self.snapshot.memory_map or () if r.start <= r.end)

    @cached_property
    def places(self) -> tuple[Place, ...]:
        """Each sound region with its worst part; none where there is no memory map."""
        if not self.snapshot.memory_map:
            return ()
        return tuple(places(self.sound, self.snapshot.memory_map))

    @cached_property
    def ram(self) -> tuple[Interval, ...]:
        """What the memory map calls System RAM."""
        return union(each.extent for each in self.snapshot.memory_map or () if each.is_ram)

    @cached_property
    def kept(self) -> tuple[Interval, ...]:
        """What the sound regions keep."""
        return union(each.extent for each in self.sound)
