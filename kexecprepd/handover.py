# SPDX-License-Identifier: LGPL-2.1-or-later
"""One generation of what is handed over: a reading, its assessment, its number and its time."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from .assessment import Assessment, assess
from .model import Snapshot
from .sysfs import ReadError

Parts = Mapping[str, Any]
"""A reading in four parts, by the names that MapChanged uses, as values that JSON has."""

PART_NAMES = ("runtime-map", "memmap", "efi-tables", "efi-info")


@dataclass(frozen=True, slots=True)
class Timestamp:
    """A moment in microseconds, by CLOCK_REALTIME and CLOCK_MONOTONIC."""

    realtime: int
    monotonic: int


@dataclass(frozen=True, slots=True)
class Handover:
    """Everything that is served, from one reading.

    `generation` counts the changes of one boot, from 1; `taken` is when this content was first
    read. `snapshot` is None where reading failed, and then `parts` is empty.
    """

    generation: int
    boot_id: str
    taken: Timestamp
    snapshot: Snapshot | None
    parts: Parts
    assessment: Assessment


def parts_of(reading: Snapshot | ReadError) -> Parts:
    """The four parts of a reading as JSON values; none where it failed."""
    if isinstance(reading, ReadError):
        return {}
    params = reading.boot_params
    return {
        "runtime-map": _list(reading.runtime_map),
        "memmap": _list(reading.memory_map),
        "efi-tables": None
        if reading.efi is None
        else {**asdict(reading.efi), "systab": [list(line) for line in reading.efi.systab]},
        "efi-info": {
            "boot-params": None
            if params is None
            else {**asdict(params), "efi_signature": params.efi_signature.hex()},
            "setup-data": [[node.type, node.payload.hex()] for node in reading.setup_data],
            "kernel": asdict(reading.kernel),
        },
    }


def _list(items: tuple[Any, ...] | None) -> list[dict[str, Any]] | None:
    return None if items is None else [asdict(item) for item in items]


def changed(before: Parts, after: Parts) -> tuple[str, ...]:
    """The names of the parts that differ; a reading that failed differs in all from one that
    did not.
    """
    return tuple(name for name in PART_NAMES if before.get(name, ...) != after.get(name, ...))


def first(reading: Snapshot | ReadError, boot_id: str, now: Timestamp) -> Handover:
    """Start a count, at generation 1."""
    return Handover(
        generation=1,
        boot_id=boot_id,
        taken=now,
        snapshot=reading if isinstance(reading, Snapshot) else None,
        parts=parts_of(reading),
        assessment=assess(reading),
    )


def numbered(handover: Handover, generation: int, taken: Timestamp) -> Handover:
    """The same content under another generation and time, as an earlier run of the daemon had."""
    return replace(handover, generation=generation, taken=taken)


def succeed(previous: Handover, reading: Snapshot | ReadError, now: Timestamp) -> Handover:
    """The next generation, or `previous` itself where the reading says nothing new."""
    following = first(reading, previous.boot_id, now)
    if (following.parts, following.assessment) == (previous.parts, previous.assessment):
        return previous
    return numbered(following, previous.generation + 1, now)
