# SPDX-License-Identifier: LGPL-2.1-or-later
"""Rules for where the runtime regions lie in the firmware's memory map.

Both maps describe the same memory, in different words: the boot loader turned each EFI memory
type into one of the memory map's (setup_e820() in drivers/firmware/efi/libstub/x86-stub.c).
"""

from collections.abc import Iterator

from ..finding import Severity
from .fit import COLUMNS, Verdict
from .rule import FIRMWARE_BUG, HANDED_ON, Hit, Rule, label, numbers, span
from .survey import Survey

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


def _hits(survey: Survey, wanted: Verdict, why: str) -> Iterator[Hit]:
    for place in survey.places:
        if place.verdict is wanted:
            yield Hit(
                f"{label(place.region)} lies in {_NAMES[place.column]}{why}.",
                {**numbers(place.region), **span("part", place.part)},
            )


def _dangerous(survey: Survey) -> Iterator[Hit]:
    """The memory map gives away memory that the firmware still uses: an operating system takes
    System RAM as its own, and writes over a region in it.
    """
    return _hits(survey, Verdict.DANGEROUS, ", which the kernel may use as its own")


def _suspicious(survey: Survey) -> Iterator[Hit]:
    """A region lies where its type does not belong. It works where nothing else uses that memory,
    but firmware, boot loader and kernel do not agree on what it is.
    """
    return _hits(survey, Verdict.SUSPICIOUS, ", where its type does not belong")


def _noted(survey: Survey) -> Iterator[Hit]:
    """A region lies where its type is seldom found, without harm."""
    return _hits(survey, Verdict.NOTED, ", which is unusual and harmless")


def _kept(survey: Survey) -> Iterator[Hit]:
    """Healthy: the kernel keeps a boot-services region because a firmware table is in it (ESRT,
    BGRT, MOK variables, memory attributes). The memory map still calls it System RAM, so loaders
    that do not ask for the excluded ranges place the next kernel over it, and the table is lost.
    """
    return _hits(survey, Verdict.KEPT, ": a loader has to keep out of it")


RULES: tuple[Rule, ...] = (
    Rule("region-in-usable-memory", Severity.ERROR, FIRMWARE_BUG, _dangerous, HANDED_ON),
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
