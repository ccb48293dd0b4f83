# SPDX-License-Identifier: LGPL-2.1-or-later
"""What of two machines, or of one at two times, is not the same: facts by their names, compared."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ..abi.efi import attribute_names, type_name
from .finding import Finding, State
from .image import Image
from .snapshot import MemoryRange, Snapshot

Facts = Mapping[str, str]
"""What there is to say of one subject, in words that compare, by their names."""

Sides = Mapping[str, Facts]
"""All that is known of a machine, by subject."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A fact that is another one on each side; None where a side does not have it."""

    subject: str
    name: str
    before: str | None
    after: str | None


def differences(before: Sides, after: Sides) -> tuple[Difference, ...]:
    """The differences in what both sides know of."""
    return tuple(
        Difference(subject, name, old.get(name), new.get(name))
        for subject, old in before.items()
        if (new := after.get(subject)) is not None
        for name in sorted({*old, *new})
        if old.get(name) != new.get(name)
    )


def of_image(image: Image) -> Facts:
    """The tables' addresses, and each region by its physical address."""
    tables = image.tables
    facts = {
        "fw_vendor": f"{tables.fw_vendor:#x}",
        "runtime": f"{tables.runtime:#x}",
        "tables": f"{tables.tables:#x}",
        "smbios": f"{tables.smbios:#x}",
    }
    seen: Counter[int] = Counter()
    for region in image.regions:
        seen[region.phys_addr] += 1
        again = f" ({seen[region.phys_addr]})" if seen[region.phys_addr] > 1 else ""
        at = f"{region.phys_addr:#012x}{again}"
        facts |= {
            f"{at} type": type_name(region.type),
            f"{at} virt_addr": f"{region.virt_addr:#x}",
            f"{at} num_pages": str(region.num_pages),
            f"{at} attribute": " ".join(attribute_names(region.attribute)),
        }
    return facts


def of_memory_map(ranges: Iterable[MemoryRange]) -> Facts:
    """Each range's type, by its addresses."""
    return {f"{each.start:#012x}-{each.end:#012x}": each.type for each in ranges}


def of_verdict(state: State, findings: Iterable[Finding]) -> Facts:
    """The state, and how many findings there are of each code."""
    counts = Counter(f"{each.severity} {each.code}" for each in findings)
    return {"state": str(state), **{name: str(count) for name, count in counts.items()}}


def of_kernel(snapshot: Snapshot) -> Facts:
    """How the kernel was started, and with what."""
    facts = {
        "command line": snapshot.kernel.cmdline or "",
        "started by kexec": "yes" if snapshot.started_by_kexec else "no",
        "setup_data nodes": " ".join(f"{node.type:#x}" for node in snapshot.setup_data),
    }
    params, blocks = snapshot.boot_params, snapshot.memory_blocks
    if params is not None:
        facts |= {
            "type_of_loader": f"{params.type_of_loader:#x}",
            "secure_boot": str(params.secure_boot),
            "acpi_rsdp": f"{params.acpi_rsdp:#x}",
            "efi_systab": f"{params.efi_info.systab:#x}",
        }
    if blocks is not None:
        facts["memory blocks"] = f"{len(blocks.numbers)} of {blocks.size:#x} bytes"
    return facts
