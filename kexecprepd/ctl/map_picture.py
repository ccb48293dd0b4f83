# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the maps have memory look like: where the firmware is in it, and where the problems are."""

from collections.abc import Iterable, Mapping, Sequence

from ..abi.efi import type_name
from ..core.entries import sound
from ..core.finding import Finding, Severity, kinds
from ..core.intervals import Interval
from ..core.snapshot import MemoryRange, RuntimeRegion
from ..core.whereabouts import where
from .output import coloured
from .picture import WIDTH, Kind, Stretch, condensed, draw, layered


def stretches(regions: Iterable[RuntimeRegion], ranges: Sequence[MemoryRange]) -> list[Stretch]:
    """All memory up to the last address of either map, in order and without gaps.

    Regions whose extent means nothing are left out: they are told of by their finding; and so are
    those that efi=debug lists beside the firmware's.
    """
    intact = sound(regions)
    upright = [each for each in ranges if each.start <= each.end]
    return layered(
        (
            [_firmware(each) for each in intact if each.is_runtime and not each.is_boot_services],
            [_firmware(each) for each in intact if each.is_boot_services],
            [Stretch(r.start, r.end, Kind.NO_RAM, (r.type,)) for r in upright if not r.is_ram],
            [Stretch(r.start, r.end, Kind.RAM) for r in upright if r.is_ram],
        )
    )


def problems(findings: Iterable[Finding]) -> list[tuple[Interval, Finding]]:
    """The errors and warnings that are about a place, each with the place."""
    placed = ((where(each), each) for each in findings if each.severity is not Severity.INFO)
    return [(place, each) for place, each in placed if place is not None]


def marks(
    shown: Iterable[Stretch], found: Sequence[tuple[Interval, Finding]]
) -> Mapping[int, Sequence[str]]:
    """For each stretch in which a problem begins, by its first address, what there is to say."""
    here = {
        each.start: [finding for place, finding in found if each.start <= place.start <= each.end]
        for each in shown
    }
    return {start: [_words(kind.findings) for kind in kinds(told)] for start, told in here.items()}


def drawn(
    regions: Sequence[RuntimeRegion],
    ranges: Sequence[MemoryRange],
    findings: Iterable[Finding],
    *,
    unicode: bool,
    width: int = WIDTH,
) -> str:
    """The drawing, and below it the problems whose place is not in it."""
    shown = condensed(stretches(regions, ranges), mixed=Kind.SEVERAL)
    found = problems(findings)
    picture = draw(shown, unicode=unicode, width=width, marks=marks(shown, found))
    end = shown[-1].end if shown else -1
    beyond = [finding for place, finding in found if place.start > end]
    return "\n".join(
        [picture, *(f"Beyond all memory: {_words(k.findings)}" for k in kinds(beyond))]
    )


def _firmware(region: RuntimeRegion) -> Stretch:
    kind = Kind.KEPT if region.is_boot_services else Kind.FIRMWARE
    return Stretch(region.phys_addr, region.phys_end, kind, (type_name(region.type),))


def _words(findings: tuple[Finding, ...]) -> str:
    (kind,) = kinds(findings)
    return f"{coloured(kind.first.severity)}: {kind.message} [{kind.first.code}]"
