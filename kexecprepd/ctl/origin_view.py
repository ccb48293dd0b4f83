# SPDX-License-Identifier: LGPL-2.1-or-later
"""How this kernel was started, in words and for programs, and what became of the firmware by it."""

from collections.abc import Mapping
from typing import Any

from ..core.facilities import FACILITIES, Firmware, fate, had
from ..core.finding import State
from ..core.origin import Origin, StartedBy
from ..core.receipt import Receipt, of_members
from .output import plural, wide

_UNITS = (("day", 86400), ("hour", 3600), ("minute", 60))


def origin_of(properties: Mapping[str, Any]) -> Origin:
    """As the daemon's properties have it."""
    receipt = of_members(properties.get("Receipt", {}))
    started_by = StartedBy(properties.get("StartedBy", StartedBy.UNKNOWN))
    return Origin(started_by, receipt if isinstance(receipt, Receipt) else None)


def arrived(receipt: Receipt, properties: Mapping[str, Any]) -> bool | None:
    """Whether what the receipt says was handed over is what this kernel shows; None where that is
    not known: nothing of it could be read, or a daemon had nothing to hand over, and the kernel may
    have packed EFI all the same.
    """
    if properties["State"] == State.INVALID and not properties["RegionCount"]:
        return None
    if not receipt.sha256:
        return None if receipt.kept else True
    shown = (properties["Sha256"], properties["RegionCount"])
    return shown == (receipt.sha256, receipt.region_count)


def as_text(
    origin: Origin, properties: Mapping[str, Any], firmware: Firmware, realtime: int
) -> str:
    """In one line; `realtime` is the present moment, in microseconds of CLOCK_REALTIME."""
    if origin.started_by is not StartedBy.KEXEC:
        boot_loader = origin.started_by is StartedBy.BOOT_LOADER
        return "a boot loader" if boot_loader else "unknown"
    variables = f"EFI variables {_answer(firmware.get('variables'))}"
    receipt = origin.receipt
    if receipt is None:
        return f"kexec, without a receipt: the number of kexecs is not known; {variables}"
    if receipt.kept:
        how, what = f"by what {receipt.loader} left there", "what that kernel had"
    else:
        how = f"loaded {_ago(realtime - receipt.loaded_at)} by {receipt.loader}"
        what = "what was handed over"
    outcome = {
        None: f"whether {what} is what arrived is not known",
        True: f"{what} is what arrived",
        False: f"{what} is not what arrived",
    }[arrived(receipt, properties)]
    if not receipt.sha256 and not receipt.kept:
        outcome = "EFI was left out"
    return (
        f"kexec, {_ordinal(origin)}, from boot {receipt.from_boot_id[:8]}..., {how}; "
        f"{outcome}; {variables}"
    )


def as_json(origin: Origin, properties: Mapping[str, Any], firmware: Firmware) -> dict[str, Any]:
    """For programs; null is what is not known."""
    receipt = origin.receipt
    return {
        "started-by": str(origin.started_by),
        "kexec-count": origin.kexec_count,
        "receipt": receipt_as_json(receipt.members() if receipt else {}),
        "arrived": arrived(receipt, properties) if receipt else None,
        "firmware": {
            name: {"before": had(receipt, name), "now": firmware.get(name)} for name in FACILITIES
        },
    }


def receipt_as_json(members: Mapping[str, Any]) -> dict[str, Any] | None:
    """What the receipt said, with its wide numbers in hexadecimal beside; null without one."""
    found = dict(members)
    for name in ("generation", "loaded-at"):
        found |= wide(name, members[name]) if name in members else {}
    return found or None


def fates(origin: Origin, firmware: Firmware) -> dict[str, str]:
    """What became of each facility. Empty where no kexec was."""
    if origin.started_by is not StartedBy.KEXEC:
        return {}
    return {
        title: str(fate(had(origin.receipt, name), firmware.get(name)))
        for name, title in FACILITIES.items()
    }


def _ordinal(origin: Origin) -> str:
    count = origin.kexec_count
    if count is None:  # the kernel that wrote it was started by kexec too, and did not know
        return "at least the 3rd kernel since power-on"
    return f"the {_nth(count + 1)} kernel since power-on ({plural(count, 'kexec')})"


def _nth(number: int) -> str:
    teens = number % 100 in (11, 12, 13)
    ending = "th" if teens else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def _ago(usec: int) -> str:
    seconds = usec // 1_000_000
    if seconds < 0:
        return "in what this clock calls the future"
    for unit, length in _UNITS:
        if seconds >= length:
            return f"{plural(seconds // length, unit)} ago"
    return "less than a minute ago"


def _answer(variables: bool | None) -> str:
    if variables is None:
        return "could not be looked at"
    return "answer" if variables else "do not answer"
