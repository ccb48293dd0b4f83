# SPDX-License-Identifier: LGPL-2.1-or-later
"""The runtime map beside the memory map, as one table by physical address."""

from collections.abc import Iterable, Sequence
from typing import Any

from ..abi.efi import attribute_names, type_name
from ..core.intervals import Interval, touching
from ..core.snapshot import MemoryRange, RuntimeRegion
from .output import WHOLE, Layout, size, table, wide

_HEADING = ("START", "END", "SIZE", "MEMORY MAP", "REGION", "EFI TYPE", "MAPPED AT", "ATTRIBUTES")


def as_table(
    regions: Sequence[RuntimeRegion],
    ranges: Sequence[MemoryRange],
    layout: Layout = WHOLE,
) -> str:
    """One line for each range of the memory map, with the runtime regions in it beside.

    What a region has outside every range gets a line of its own. A region that begins or ends
    within a range has its own extent on its line. On a narrow terminal attributes and virtual
    addresses are left out.
    """
    rows: list[tuple[str, ...]] = []
    for extent, name in _rows(regions, ranges):
        inside = touching(regions, extent)
        inside.sort(key=lambda region: region.phys_addr)
        if not inside:
            rows.append((*_span(extent), name, "", "", "", ""))
        elif len(inside) == 1 and inside[0].extent == extent:
            rows.append((*_span(extent), name, *_cells(inside[0])))
        else:
            rows.append((*_span(extent), name, "", "", "", ""))
            rows += [(*_span(region.extent), " -", *_cells(region)) for region in inside]
    return table(
        _HEADING,
        rows,
        frozenset({2, 4}),
        layout,
        spare=(7, 6),
        elastic=(3,),
        last=(2, 1),
        styles=[_style(row) for row in rows],
    )


def as_json(regions: Iterable[RuntimeRegion], ranges: Iterable[MemoryRange]) -> dict[str, Any]:
    """Both maps, with names beside the numbers."""
    return {
        "runtime-map": [
            {
                "number": region.number,
                "type": region.type,
                "type-name": type_name(region.type),
                **wide("phys-addr", region.phys_addr),
                **wide("virt-addr", region.virt_addr),
                **wide("num-pages", region.num_pages),
                **wide("attribute", region.attribute),
                "attribute-names": attribute_names(region.attribute),
            }
            for region in regions
        ],
        "memory-map": [
            {**wide("start", each.start), **wide("end", each.end), "type": each.type}
            for each in ranges
        ],
    }


def _rows(
    regions: Sequence[RuntimeRegion], ranges: Sequence[MemoryRange]
) -> list[tuple[Interval, str]]:
    listed = [(each.extent, each.type) for each in ranges]
    outside = [
        (region.extent, "(not listed)") for region in regions if not touching(ranges, region.extent)
    ]
    return sorted(listed + outside)


def _style(row: tuple[str, ...]) -> str:
    """Regions stand out, and what is no System RAM stands back."""
    if row[3] == "(not listed)":
        return "yellow"
    if row[4]:
        return "cyan"
    return "" if row[3] == "System RAM" else "grey"


def _span(extent: Interval) -> tuple[str, str, str]:
    return f"{extent.start:#012x}", f"{extent.end:#012x}", size(extent.end - extent.start + 1)


def _cells(region: RuntimeRegion) -> tuple[str, str, str, str]:
    return (
        str(region.number),
        type_name(region.type),
        f"{region.virt_addr:#018x}",
        " ".join(attribute_names(region.attribute)),
    )
