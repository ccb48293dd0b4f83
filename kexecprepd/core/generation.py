# SPDX-License-Identifier: LGPL-2.1-or-later
"""One generation of what is handed over: a reading, its assessment, its number and its time."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from ..abi.bootparam import BootParams, pack_e820
from ..abi.setup_data import EfiSetupData
from .presence import missing_memory
from .receipt import Receipt, Unusable
from .snapshot import SetupData, Snapshot
from .timestamp import Timestamp
from .unreadable import Unreadable
from .verdict import Assessment, assess

Parts = Mapping[str, Any]
"""A reading in parts, as values that JSON has."""

PART_NAMES = {
    "runtime-map": ("runtime-map",),
    "memmap": ("memmap", "absent-memory"),
    "efi-tables": ("efi-tables",),
    "efi-info": ("efi-info",),
}
"""What MapChanged calls a change, and the parts that it stands for."""


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


def parts_of(reading: Snapshot | Unreadable) -> Parts:
    """The parts of a reading as JSON values; none where it failed."""
    if isinstance(reading, Unreadable):
        return {}
    parts: dict[str, Any] = {
        "runtime-map": reading.runtime_map,
        "memmap": reading.memory_map,
        # In snapshot.json's format 1: whatever the reason, also the command line's.
        "absent-memory": missing_memory(reading),
        "efi-tables": reading.efi,
        "efi-info": [
            _boot_params(reading.boot_params),
            [_node(node) for node in reading.setup_data],
            reading.kernel,
        ],
    }
    if reading.receipt is not None:
        parts["receipt"] = _receipt(reading.receipt)
    if reading.kept is not None:
        parts["kept"] = _receipt(reading.kept)
    # As the cache gives them back, so that the two compare: JSON has no tuples.
    restored: Parts = json.loads(json.dumps(parts, default=_plain))
    return restored


def _plain(value: Any) -> Any:
    return value.hex() if isinstance(value, bytes) else asdict(value)


def _boot_params(params: BootParams | None) -> Parts | None:
    """In the names of snapshot.json's format 1."""
    if params is None:
        return None
    return {
        "efi_signature": params.efi_info.signature,
        "efi_systab": params.efi_info.systab,
        "efi_memdesc_size": params.efi_info.memdesc_size,
        "efi_memdesc_version": params.efi_info.memdesc_version,
        "efi_memmap_size": params.efi_info.memmap_size,
        "acpi_rsdp": params.acpi_rsdp,
        "secure_boot": params.secure_boot,
        "type_of_loader": params.type_of_loader,
        "e820": params.e820,
    }


def _node(node: SetupData) -> Parts:
    if isinstance(node.content, EfiSetupData):
        payload = node.content.pack()
    else:
        payload = pack_e820(node.content) if isinstance(node.content, tuple) else b""
    return {"type": node.type, "payload": payload}


def _receipt(receipt: Receipt | Unusable) -> Parts:
    return receipt.members() if isinstance(receipt, Receipt) else {"unusable": receipt.problem}


def changed(before: Parts, after: Parts) -> tuple[str, ...]:
    """The names of the parts that differ; a reading that failed differs in all from one that
    did not.
    """
    return tuple(
        name
        for name, parts in PART_NAMES.items()
        if any(before.get(part, ...) != after.get(part, ...) for part in parts)
    )


def first(reading: Snapshot | Unreadable, boot_id: str, now: Timestamp) -> Handover:
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


def succeed(previous: Handover, reading: Snapshot | Unreadable, now: Timestamp) -> Handover:
    """The next generation, or `previous` itself where the reading says nothing new."""
    following = first(reading, previous.boot_id, now)
    if (following.parts, following.assessment) == (previous.parts, previous.assessment):
        return previous
    return numbered(following, previous.generation + 1, now)
