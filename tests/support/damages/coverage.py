# SPDX-License-Identifier: LGPL-2.1-or-later
"""Harm to where the regions lie in the memory map."""

from tests.support.recordings import MEMMAP, add_range, remove, set_range, set_region

from .damage import Damage, damage

DANGEROUS = "region-in-usable-memory"
SUSPICIOUS = "region-misplaced"
UNUSUAL = "region-unusual"
KEPT = "boot-services-kept"

DAMAGE: dict[str, dict[str, Damage]] = {
    DANGEROUS: {
        "data in RAM": damage(lambda root: set_range(root, 12, type="System RAM")),
        "MMIO in RAM": damage(lambda root: set_range(root, 15, type="System RAM")),
        "code and tables in RAM": damage(lambda root: set_range(root, 8, type="System RAM")),
        "data in soft-reserved memory": damage(
            lambda root: set_range(root, 12, type="Soft Reserved"), also=("soft-reserved-memory",)
        ),
        "boot services became conventional": damage(
            lambda root: set_region(root, 5, type=7), also=("region-conventional",)
        ),
    },
    SUSPICIOUS: {
        "data in no range": damage(lambda root: remove(root, f"{MEMMAP}/12")),
        "data in ACPI's memory": damage(lambda root: set_range(root, 12, type="ACPI Tables")),
        "half in a gap": damage(lambda root: set_range(root, 12, end=0x7FEF_4FFF)),
    },
    UNUSUAL: {
        "boot services in nameless memory": damage(
            lambda root: set_range(root, 5, end=0x7DD3_AFFF),
            lambda root: add_range(root, 0x7DD3_B000, 0x7DD3_BFFF, "Unknown E820 type"),
            lambda root: add_range(root, 0x7DD3_C000, 0x7EA9_FFFF, "System RAM"),
        ),
        "an OEM's type in reserved memory": damage(
            lambda root: set_region(root, 1, type=0x7000_0000)
        ),
    },
    KEPT: {"in System RAM": damage(lambda root: None)},
}
