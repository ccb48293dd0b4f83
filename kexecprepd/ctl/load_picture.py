# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a load has memory look like: what is placed where, what is free, what is avoided."""

from collections.abc import Iterable, Sequence

from ..core.snapshot import MemoryRange
from ..loader.memory import LOW_MEMORY, Usable
from ..loader.plan import Segment
from .picture import Kind, Stretch, layered


def stretches(
    memory_map: Sequence[MemoryRange], usable: Usable, segments: Iterable[Segment]
) -> list[Stretch]:
    """All memory up to the last address that the map lists, in order and without gaps."""
    avoided = [Stretch(a.start, a.end, Kind.AVOIDED, (a.why,)) for a in usable.avoided]
    # What comes first counts where two have something to say of an address.
    layers = (
        [Stretch(s.address, s.address + s.size - 1, Kind.PLACED, (s.name,)) for s in segments],
        [Stretch(f.start, f.end, Kind.FREE) for f in usable.free],
        [each for each in avoided if each.start < LOW_MEMORY],
        [Stretch(r.start, r.end, Kind.NO_RAM, (r.type,)) for r in memory_map if not r.is_ram],
        avoided,
        # What is left of System RAM are pieces of pages.
        [Stretch(r.start, r.end, Kind.AVOIDED, ("no whole page",)) for r in memory_map if r.is_ram],
    )
    return layered(layers)
