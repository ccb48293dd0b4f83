# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a kernel has of the firmware, and loses by a kexec that goes wrong."""

from collections.abc import Mapping
from enum import StrEnum

from .receipt import Receipt

FACILITIES: Mapping[str, str] = {
    "variables": "EFI variables",
    "dmi": "DMI",
    "bgrt": "Boot logo (BGRT)",
    "esrt": "Firmware updates (ESRT)",
    "mok": "MOK variables",
    "secure-boot": "Secure Boot state",
    "memattr": "MEMATTR table",
    "option-roms": "Option ROMs",
}
"""Each by the name that it has in a receipt's `had`, and what people call it."""

Firmware = Mapping[str, bool | None]
"""For each of FACILITIES whether it is there, None where that cannot be told."""


class Fate(StrEnum):
    """What a kexec did to a facility."""

    KEPT = "there, as before"
    LOST = "lost"
    ABSENT = "not there, nor known before"
    GAINED = "there, and not known before"
    THERE = "there; before is not known"
    MISSING = "not there; before is not known"
    UNKNOWN = "unknown; it was there before"
    UNTOLD = "unknown"


_FATES = {
    (True, True): Fate.KEPT,
    (True, False): Fate.LOST,
    (True, None): Fate.UNKNOWN,
    (False, True): Fate.GAINED,
    (False, False): Fate.ABSENT,
    (None, True): Fate.THERE,
    (None, False): Fate.MISSING,
}


def had(receipt: Receipt | None, name: str) -> bool | None:
    """Whether the kernel before had it, by its receipt; None where there is none that says so."""
    if receipt is None or receipt.had is None:
        return None
    return name in receipt.had


def fate(before: bool | None, now: bool | None) -> Fate:
    """What became of something that was there before, or not."""
    return _FATES.get((before, now), Fate.UNTOLD)


def present(firmware: Firmware) -> tuple[str, ...]:
    """What is known to be there, as a receipt's `had` names it."""
    return tuple(name for name in FACILITIES if firmware.get(name))
