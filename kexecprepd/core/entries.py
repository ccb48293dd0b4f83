# SPDX-License-Identifier: LGPL-2.1-or-later
"""Entries of the runtime map that no kernel lists, whatever the system: they are damaged."""

from collections.abc import Iterable

from ..abi.efi import PAGE_SHIFT, PAGE_SIZE, PHYSICAL_BITS
from .intervals import overlapping_pairs
from .snapshot import RuntimeRegion

MAX_PAGES = (1 << 31) - 1
"""populate_pud() in arch/x86/mm/pat/set_memory.c counts mapped pages in an int."""

_PHYSICAL_PAGES = 1 << PHYSICAL_BITS - PAGE_SHIFT


def overflows(region: RuntimeRegion) -> bool:
    """Whether it reaches beyond what there is, or has more pages than can be counted."""
    # Within what the kernel's own filter lets pass, efi_memmap_entry_valid(), which stops at 2^64.
    pages = (region.phys_addr >> PAGE_SHIFT) + region.num_pages
    return region.num_pages > MAX_PAGES or pages > _PHYSICAL_PAGES


def sound(entries: Iterable[RuntimeRegion]) -> tuple[RuntimeRegion, ...]:
    """The entries whose extent means something."""
    return tuple(entry for entry in entries if entry.num_pages and not overflows(entry))


def damaged(entries: tuple[RuntimeRegion, ...]) -> bool:
    """Whether any of a map's entries is empty, overflows, lies across pages or over another."""
    intact = sound(entries)
    return (
        len(intact) < len(entries)
        or any(entry.phys_addr % PAGE_SIZE for entry in entries)
        or any(overlapping_pairs(intact, lambda entry: entry.extent))
    )
