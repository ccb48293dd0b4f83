# SPDX-License-Identifier: LGPL-2.1-or-later
"""How a region's type fits what the memory map calls its place.

Sources: setup_e820() in drivers/firmware/efi/libstub/x86-stub.c, which says what the memory map
makes of each type; maps of real machines.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum

from ...abi.efi import MemoryType
from ..intervals import Interval, outside, union, within
from ..snapshot import MemoryRange, RuntimeRegion

COLUMNS = ("reserved", "gap", "acpi", "ram", "soft", "unusable", "unknown")
"""What the memory map can call a place; `gap` is where it says nothing."""

_INDEX = {column: index for index, column in enumerate(COLUMNS)}

_KINDS = {
    "reserved": "reserved",
    "acpi tables": "acpi",
    "acpi non-volatile storage": "acpi",
    "system ram": "ram",
    "uncached ram": "ram",
    "soft reserved": "soft",
    "persistent memory": "soft",
    "persistent memory (legacy)": "soft",
    "unusable memory": "unusable",
}


class Verdict(Enum):
    """How a region fits a place; the worst comes first."""

    DANGEROUS = "D"
    SUSPICIOUS = "s"
    NOTED = "i"
    KEPT = "k"
    EXPECTED = "E"


# One letter for each of COLUMNS. GRUB's 32-bit boot protocol passes runtime code under e820
# type 20, which puts types 5 and 6 into memory of an unknown type on healthy machines.
_VERDICTS: dict[int, str] = {
    MemoryType.RESERVED: "EisDsii",
    MemoryType.LOADER_CODE: "sssDsss",
    MemoryType.LOADER_DATA: "sssDsss",
    MemoryType.BOOT_SERVICES_CODE: "Esskssi",
    MemoryType.BOOT_SERVICES_DATA: "Esskssi",
    MemoryType.RUNTIME_SERVICES_CODE: "EssDDsE",
    MemoryType.RUNTIME_SERVICES_DATA: "EssDDsE",
    MemoryType.CONVENTIONAL: "sssDsss",
    MemoryType.UNUSABLE: "iisssEi",
    MemoryType.ACPI_RECLAIM: "ssEDsss",
    MemoryType.ACPI_NVS: "ssEDsss",
    MemoryType.MEMORY_MAPPED_IO: "EEsDDsi",
    MemoryType.MEMORY_MAPPED_IO_PORT_SPACE: "EEsDDsi",
    MemoryType.PAL_CODE: "EisDssi",
    MemoryType.PERSISTENT: "sssDEss",
    MemoryType.UNACCEPTED: "sssDsss",
}
_OTHER_TYPES = "iEsDsii"


@dataclass(frozen=True, slots=True)
class Place:
    """The worst part of a region: what the memory map calls it, and where it is."""

    region: RuntimeRegion
    verdict: Verdict
    column: str
    part: Interval


_BY_LETTER = {each.value: each for each in Verdict}
_RANKS = {letter: rank for rank, letter in enumerate(_BY_LETTER)}


def verdict(efi_type: int, column: str) -> Verdict:
    """How a memory type fits a column of COLUMNS."""
    return _BY_LETTER[_letter(efi_type, column)]


def _letter(efi_type: int, column: str) -> str:
    return _VERDICTS.get(efi_type, _OTHER_TYPES)[_INDEX[column]]


def column_of(kind: str) -> str:
    """The column of a memory map's type, in lower case; `unknown` for one without a name."""
    return _KINDS.get(kind, "unknown")


def places(regions: Iterable[RuntimeRegion], ranges: Iterable[MemoryRange]) -> Iterator[Place]:
    """Each region with its worst part. O(n log n) in regions and ranges together."""
    united = _columns(ranges)
    everything = union(interval for each in united.values() for interval in each)
    for region in regions:
        parts = [(part, "gap") for part in outside(everything, region.extent)]
        for column, each in united.items():
            parts += [(part, column) for part in within(each, region.extent)]
        part, column = min(parts, key=lambda p: (_RANKS[_letter(region.type, p[1])], p[0]))
        yield Place(region, verdict(region.type, column), column, part)


def _columns(ranges: Iterable[MemoryRange]) -> dict[str, tuple[Interval, ...]]:
    listed: dict[str, list[Interval]] = {}
    for each in ranges:
        listed.setdefault(column_of(each.kind), []).append(each.extent)
    return {column: union(intervals) for column, intervals in listed.items()}
