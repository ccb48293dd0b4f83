# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a loader needs beside the image: one record, and its ways to a{sv} and JSON, and back."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from ..abi.efi import DESCRIPTOR_VERSION
from ..core.finding import State
from ..core.generation import Handover
from ..core.handover_digest import handover_sha256
from ..core.image import DESCRIPTOR_SIZE, DESCRIPTORS_OFFSET, acpi_rsdp, efi_info
from ..core.placement import ExcludedRange, excluded_ranges

SIGNATURES = {
    "generation": "t",
    "sha256": "s",
    "boot-id": "s",
    "state": "s",
    "region-count": "u",
    "memmap-offset": "u",
    "memmap-size": "u",
    "memdesc-size": "u",
    "memdesc-version": "u",
    "efi-info": "ay",
    "acpi-rsdp": "t",
    "secure-boot": "y",
    "excluded-ranges": "a(tts)",
    "handover-sha256": "s",
}
"""The names on the wire, in the order of the record's fields, with their D-Bus signatures."""


@dataclass(frozen=True, slots=True)
class LoaderInfo:
    """The `info` of one image: of the same snapshot.

    Addresses are physical, sizes in bytes; `efi_info` are the 32 bytes of that struct, with the
    memmap's address 0, and `acpi_rsdp` is 0 where unknown. `handover_sha256` is of all that a load
    depends on.
    """

    generation: int
    sha256: str
    boot_id: str
    state: State
    region_count: int
    memmap_offset: int
    memmap_size: int
    memdesc_size: int
    memdesc_version: int
    efi_info: bytes
    acpi_rsdp: int
    secure_boot: int
    excluded_ranges: tuple[ExcludedRange, ...]
    handover_sha256: str

    def to_wire(self) -> dict[str, tuple[str, Any]]:
        """Each member by its name on the wire: its D-Bus signature, and a value of that type."""
        values = {name: getattr(self, name.replace("-", "_")) for name in SIGNATURES}
        values["state"] = str(self.state)
        values["excluded-ranges"] = [(e.start, e.end, e.why) for e in self.excluded_ranges]
        return {name: (SIGNATURES[name], value) for name, value in values.items()}

    def to_json(self) -> dict[str, Any]:
        """The same as values that JSON has: bytes in hexadecimal."""
        return {
            name: value.hex() if isinstance(value, bytes) else value
            for name, (_, value) in self.to_wire().items()
        }


def from_wire(values: Mapping[str, Any]) -> LoaderInfo:
    """The record of an unpacked a{sv}; names that are not known here are passed over.

    Raises KeyError for one that is missing.
    """
    found = {each.name: values[each.name.replace("_", "-")] for each in fields(LoaderInfo)}
    found["state"] = State(found["state"])
    found["efi_info"] = bytes(found["efi_info"])
    found["excluded_ranges"] = tuple(ExcludedRange(*each) for each in found["excluded_ranges"])
    return LoaderInfo(**found)


def loader_info(handover: Handover) -> LoaderInfo | None:
    """The `info` of a handover; None where there is no image."""
    assessment, snapshot = handover.assessment, handover.snapshot
    if snapshot is None or assessment.image is None:
        return None
    regions = len(snapshot.runtime_regions)
    return LoaderInfo(
        generation=handover.generation,
        sha256=assessment.sha256,
        boot_id=handover.boot_id,
        state=assessment.state,
        region_count=regions,
        memmap_offset=DESCRIPTORS_OFFSET,
        memmap_size=DESCRIPTOR_SIZE * regions,
        memdesc_size=DESCRIPTOR_SIZE,
        memdesc_version=DESCRIPTOR_VERSION,
        efi_info=efi_info(snapshot),
        acpi_rsdp=acpi_rsdp(snapshot),
        secure_boot=snapshot.boot_params.secure_boot if snapshot.boot_params else 0,
        excluded_ranges=excluded_ranges(snapshot),
        handover_sha256=handover_sha256(assessment.image, snapshot),
    )
