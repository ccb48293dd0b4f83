# SPDX-License-Identifier: LGPL-2.1-or-later
"""Rules for where the runtime regions lie in the firmware's memory map.

Both maps describe the same memory, in different words: the boot loader turned each EFI memory
type into one of the memory map's (setup_e820() in drivers/firmware/efi/libstub/x86-stub.c).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache

from ...abi.efi import MemoryType
from ..finding import Severity
from ..intervals import Interval, outside, union, within
from ..snapshot import MemoryRange, RuntimeRegion, Snapshot
from .regions import sound
from .rule import FIRMWARE_BUG, Hit, Rule, extent, label, numbers, span

COLUMNS = ("reserved", "gap", "acpi", "ram", "soft", "unusable", "unknown")
"""What the memory map can call a place; `gap` is where it says nothing."""

_INDEX = {column: index for index, column in enumerate(COLUMNS)}

_NAMES = dict(
    zip(
        COLUMNS,
        (
            "memory that is reserved",
            "a gap of the memory map",
            "ACPI's memory",
            "System RAM",
            "soft-reserved or persistent memory",
            "unusable memory",
            "memory of an unknown type",
        ),
        strict=True,
    )
)

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


@lru_cache(maxsize=1)  # four rules ask for the same, one after the other
def places(snapshot: Snapshot) -> tuple[Place, ...]:
    """Each sound region with its worst part. O(n log n) in regions and ranges together."""
    return tuple(_places(snapshot))


def _places(snapshot: Snapshot) -> Iterator[Place]:
    if not snapshot.memory_map:
        return
    united = _columns(snapshot.memory_map)
    everything = union(interval for each in united.values() for interval in each)
    for region in sound(snapshot):
        parts = [(part, "gap") for part in outside(everything, extent(region))]
        for column, each in united.items():
            parts += [(part, column) for part in within(each, extent(region))]
        part, column = min(parts, key=lambda p: (_RANKS[_letter(region.type, p[1])], p[0]))
        yield Place(region, verdict(region.type, column), column, part)


def _columns(ranges: tuple[MemoryRange, ...]) -> dict[str, tuple[Interval, ...]]:
    listed: dict[str, list[Interval]] = {}
    for each in ranges:
        listed.setdefault(column_of(each.kind), []).append(Interval(each.start, each.end))
    return {column: union(intervals) for column, intervals in listed.items()}


def _hits(snapshot: Snapshot, wanted: Verdict, why: str) -> Iterator[Hit]:
    for place in places(snapshot):
        if place.verdict is wanted:
            yield Hit(
                f"{label(place.region)} lies in {_NAMES[place.column]}{why}.",
                {**numbers(place.region), **span("part", place.part)},
            )


def _dangerous(snapshot: Snapshot) -> Iterator[Hit]:
    """The memory map gives away memory that the firmware still uses: an operating system takes
    System RAM as its own, and writes over a region in it.
    """
    return _hits(snapshot, Verdict.DANGEROUS, ", which the kernel may use as its own")


def _suspicious(snapshot: Snapshot) -> Iterator[Hit]:
    """A region lies where its type does not belong. It works where nothing else uses that memory,
    but firmware, boot loader and kernel do not agree on what it is.
    """
    return _hits(snapshot, Verdict.SUSPICIOUS, ", where its type does not belong")


def _noted(snapshot: Snapshot) -> Iterator[Hit]:
    """A region lies where its type is seldom found, without harm."""
    return _hits(snapshot, Verdict.NOTED, ", which is unusual and harmless")


def _kept(snapshot: Snapshot) -> Iterator[Hit]:
    """Healthy: the kernel keeps a boot-services region because a firmware table is in it (ESRT,
    BGRT, MOK variables, memory attributes). The memory map still calls it System RAM, so loaders
    that do not ask for the excluded ranges place the next kernel over it, and the table is lost.
    """
    return _hits(snapshot, Verdict.KEPT, ": a loader has to keep out of it")


RULES: tuple[Rule, ...] = (
    Rule("region-in-usable-memory", Severity.ERROR, FIRMWARE_BUG, _dangerous),
    Rule(
        "region-misplaced",
        Severity.WARNING,
        "Update the firmware and the boot loader; try a kexec before you rely on it.",
        _suspicious,
    ),
    Rule("region-unusual", Severity.INFO, "Nothing to do.", _noted),
    Rule(
        "boot-services-kept",
        Severity.INFO,
        "Load with a loader that heeds the excluded ranges; `kexec -c` does not.",
        _kept,
    ),
)
