# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a loader needs beside the image, as one table for D-Bus and for the cache."""

from collections.abc import Mapping
from typing import Any

from ..abi.efi import DESCRIPTOR_VERSION
from ..core.generation import Handover
from ..core.image import DESCRIPTOR_SIZE, DESCRIPTORS_OFFSET, acpi_rsdp, efi_info
from ..core.placement import excluded_ranges
from ..core.snapshot import Snapshot

Info = Mapping[str, tuple[str, Any]]
"""Name -> (D-Bus signature, value)."""


def loader_info(handover: Handover) -> Info:
    """The `info` of one handover: of the same snapshot as its image.

    Addresses are physical, in bytes; `excluded-ranges` have inclusive ends. Where there is no
    image, only what names the handover is there.
    """
    assessment, snapshot = handover.assessment, handover.snapshot
    info: dict[str, tuple[str, Any]] = {
        "generation": ("t", handover.generation),
        "sha256": ("s", assessment.sha256),
        "boot-id": ("s", handover.boot_id),
        "state": ("s", str(assessment.state)),
    }
    if snapshot is not None and assessment.image is not None:
        info |= _of_image(snapshot)
    return info


def _of_image(snapshot: Snapshot) -> Info:
    regions = len(snapshot.runtime_regions)
    return {
        "region-count": ("u", regions),
        "memmap-offset": ("u", DESCRIPTORS_OFFSET),
        "memmap-size": ("u", DESCRIPTOR_SIZE * regions),
        "memdesc-size": ("u", DESCRIPTOR_SIZE),
        "memdesc-version": ("u", DESCRIPTOR_VERSION),
        "efi-info": ("ay", efi_info(snapshot)),
        "acpi-rsdp": ("t", acpi_rsdp(snapshot)),
        "secure-boot": ("y", snapshot.boot_params.secure_boot if snapshot.boot_params else 0),
        "excluded-ranges": (
            "a(tts)",
            [(each.start, each.end, each.why) for each in excluded_ranges(snapshot)],
        ),
    }
