# SPDX-License-Identifier: LGPL-2.1-or-later
"""The view: sysfs as a loader that nobody can change should find it, in the kernel's own formats.

Bound over the kernel's two folders in a mount namespace, it has any loader that reads sysfs keep
out of memory in which the firmware's tables live, and hand over the image's regions. Sources:
drivers/firmware/memmap.c, arch/x86/platform/efi/runtime-map.c.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from .generation import Handover
from .image import unpack
from .intervals import Interval, outside, union, within
from .placement import ExcludedRange, excluded_ranges
from .presence import present_memory_map
from .snapshot import MemoryRange


class Folder(NamedTuple):
    """One folder of the view."""

    name: str
    shadows: str
    """The kernel's own, relative to the root."""
    mode: int
    """Of its files; directories have 0755."""


MEMMAP = Folder("memmap", "sys/firmware/memmap", 0o444)
RUNTIME_MAP = Folder("runtime-map", "sys/firmware/efi/runtime-map", 0o400)
FOLDERS = (MEMMAP, RUNTIME_MAP)
"""Both are always there: without the second one a loader would see the kernel's own."""

DIRECTORY_MODE = 0o755

RESERVED = "Reserved"


@dataclass(frozen=True, slots=True)
class File:
    """A file of a folder: `path` is relative to that, `2/start` for instance."""

    path: str
    content: bytes


View = dict[Folder, tuple[File, ...]]
"""The files of each folder."""


def compose(
    memory_map: Iterable[MemoryRange], excluded: Iterable[ExcludedRange], image: bytes | None
) -> View:
    """The view of a memory map without absent memory, ascending, as GetHandover has it.

    System RAM in an excluded range is Reserved; what is something else already stays that. The
    regions are those of the image, and there are none without one: a loader then leaves EFI out.
    """
    return {
        MEMMAP: tuple(_memmap(memory_map, union(each.extent for each in excluded))),
        RUNTIME_MAP: tuple(_runtime_map(image)),
    }


def view(handover: Handover) -> View:
    """The view of a handover. Where sysfs could not be read it has no memory, so that a loader
    fails.
    """
    snapshot, image = handover.snapshot, handover.assessment.image
    if snapshot is None:
        return compose((), (), None)
    return compose(present_memory_map(snapshot), excluded_ranges(snapshot), image)


def _memmap(memory_map: Iterable[MemoryRange], excluded: tuple[Interval, ...]) -> Iterator[File]:
    numbered = enumerate(part for each in memory_map for part in _parts(each, excluded))
    for number, (extent, kind) in numbered:
        yield from _files(number, start=extent.start, end=extent.end, type=kind)


def _parts(memory: MemoryRange, excluded: tuple[Interval, ...]) -> Iterable[tuple[Interval, str]]:
    if not memory.is_ram or memory.end < memory.start:
        return ((memory.extent, memory.type),)
    free = ((part, memory.type) for part in outside(excluded, memory.extent))
    taken = ((part, RESERVED) for part in within(excluded, memory.extent))
    return sorted((*free, *taken))


def _runtime_map(image: bytes | None) -> Iterator[File]:
    for region in unpack(image).regions if image is not None else ():
        yield from _files(
            region.number,
            type=region.type,
            phys_addr=region.phys_addr,
            virt_addr=region.virt_addr,
            num_pages=region.num_pages,
            attribute=region.attribute,
        )


def _files(number: int, **values: int | str) -> Iterator[File]:
    for name, value in values.items():
        text = value if isinstance(value, str) else f"{value:#x}"
        yield File(f"{number}/{name}", text.encode("ascii") + b"\n")
