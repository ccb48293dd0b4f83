# SPDX-License-Identifier: LGPL-2.1-or-later
"""The rules that a runtime map must keep before it may be handed over, as a table.

A rule is a function that yields what it caught and a row in RULES that names it. The numbers
in a hit's details are addresses, so only root sees them; its message holds none.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from .efi import DESCRIPTOR_VERSION, PAGE_SHIFT, PAGE_SIZE, UNSET, VA_END, VA_START, type_name
from .findings import Detail, Finding, Severity
from .image import SIGNATURE_64, physical_runtime
from .intervals import Interval, overlapping_pairs
from .model import RuntimeRegion, Snapshot

MAX_PAGES = (1 << 32) - 1
"""The kernel takes a region's page count as 32 bits (kernel_map_pages_in_pgd)."""

_ADDRESS_PAGES = 1 << 64 - PAGE_SHIFT


@dataclass(frozen=True, slots=True)
class Hit:
    """One case that a rule caught: a sentence without addresses, and the numbers."""

    message: str
    details: dict[str, Detail] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule's stable code, how bad a hit is, what to do about it, and the function."""

    code: str
    severity: Severity
    hint: str
    check: Callable[[Snapshot], Iterator[Hit]]


def validate(snapshot: Snapshot) -> tuple[Finding, ...]:
    """Every finding of every rule, errors first; order and content depend on the snapshot alone."""
    findings = [
        Finding(rule.severity, rule.code, hit.message, rule.hint, hit.details)
        for rule in RULES
        for hit in rule.check(snapshot)
    ]
    order = list(Severity)
    return tuple(sorted(findings, key=lambda finding: order.index(finding.severity)))


def _label(region: RuntimeRegion) -> str:
    return f"Runtime region {region.number} ({type_name(region.type)})"


def _numbers(region: RuntimeRegion) -> dict[str, Detail]:
    return {
        "region": region.number,
        "type": region.type,
        "phys-addr": region.phys_addr,
        "virt-addr": region.virt_addr,
        "num-pages": region.num_pages,
        "attribute": region.attribute,
    }


def _sound(snapshot: Snapshot) -> list[RuntimeRegion]:
    """The regions whose extent means something, for rules that compare extents."""
    return [r for r in snapshot.runtime_regions if r.num_pages and not _overflows(r)]


def _overflows(region: RuntimeRegion) -> bool:
    # The kernel's own filter in efi_clean_memmap(), and the 32 bits that its mapping code has.
    return (
        region.num_pages > MAX_PAGES
        or (region.phys_addr >> PAGE_SHIFT) + region.num_pages > _ADDRESS_PAGES - 1
    )


def _empty(snapshot: Snapshot) -> Iterator[Hit]:
    for region in snapshot.runtime_regions:
        if region.num_pages == 0:
            yield Hit(f"{_label(region)} has no pages.", _numbers(region))


def _overflow(snapshot: Snapshot) -> Iterator[Hit]:
    for region in snapshot.runtime_regions:
        if _overflows(region):
            yield Hit(f"{_label(region)} reaches beyond what can be mapped.", _numbers(region))


def _misaligned(snapshot: Snapshot) -> Iterator[Hit]:
    for region in snapshot.runtime_regions:
        for name, address in (("physical", region.phys_addr), ("virtual", region.virt_addr)):
            if address % PAGE_SIZE:
                yield Hit(
                    f"{_label(region)} has a {name} address that is not page-aligned.",
                    _numbers(region),
                )


def _outside_window(snapshot: Snapshot) -> Iterator[Hit]:
    for region in _sound(snapshot):
        if region.virt_addr == 0:
            yield Hit(f"{_label(region)} has no virtual address.", _numbers(region))
        elif not VA_END <= region.virt_addr <= region.virt_end < VA_START:
            yield Hit(f"{_label(region)} is mapped outside the EFI window.", _numbers(region))


def _overlap_in(
    snapshot: Snapshot, space: str, of: Callable[[RuntimeRegion], Interval]
) -> Iterator[Hit]:
    for first, second in overlapping_pairs(_sound(snapshot), of):
        details = _numbers(second)
        details["other-region"] = first.number
        details["overlap-start"] = of(second).start
        details["overlap-end"] = min(of(first).end, of(second).end)
        yield Hit(
            f"Runtime regions {first.number} and {second.number} overlap in {space} memory.",
            details,
        )


def _physical_overlap(snapshot: Snapshot) -> Iterator[Hit]:
    return _overlap_in(snapshot, "physical", lambda r: Interval(r.phys_addr, r.phys_end))


def _virtual_overlap(snapshot: Snapshot) -> Iterator[Hit]:
    return _overlap_in(snapshot, "virtual", lambda r: Interval(r.virt_addr, r.virt_end))


def _incomplete_efi_info(snapshot: Snapshot) -> Iterator[Hit]:
    params = snapshot.boot_params
    if params is None:
        return
    if params.efi_signature != SIGNATURE_64:
        yield Hit("The kernel's own boot_params.efi_info lacks the signature EL64.")
    if params.efi_systab == 0:
        yield Hit("The kernel's own boot_params.efi_info holds no EFI system table.")
    if params.efi_memdesc_version != DESCRIPTOR_VERSION:
        version = params.efi_memdesc_version
        yield Hit(f"The kernel's own boot_params.efi_info has descriptor version {version}.")


def _missing_table(snapshot: Snapshot) -> Iterator[Hit]:
    efi = snapshot.efi
    if efi is None:
        return
    for name, address in (("fw_vendor", efi.fw_vendor), ("config_table", efi.config_table)):
        if address is None or address in (0, UNSET):
            yield Hit(f"The kernel knows no address for {name}.", {"table": name})


def _lost_runtime(snapshot: Snapshot) -> Iterator[Hit]:
    if snapshot.efi is None or snapshot.efi.runtime is None:
        return
    if physical_runtime(snapshot) is None:
        yield Hit(
            "The runtime services table lies at a virtual address that no runtime region maps.",
            {"runtime": snapshot.efi.runtime},
        )


_FIRMWARE_BUG = (
    "The firmware or the boot loader passed a broken map: "
    "update the firmware, and report this to its vendor."
)
_KERNEL_MAPPING = (
    "The running kernel could not map this region: update the kernel, and report this to it."
)

RULES: tuple[Rule, ...] = (
    Rule("region-empty", Severity.ERROR, _FIRMWARE_BUG, _empty),
    Rule("region-overflow", Severity.ERROR, _FIRMWARE_BUG, _overflow),
    Rule("region-misaligned", Severity.ERROR, _FIRMWARE_BUG, _misaligned),
    Rule("virt-outside-window", Severity.ERROR, _KERNEL_MAPPING, _outside_window),
    Rule("phys-overlap", Severity.ERROR, _FIRMWARE_BUG, _physical_overlap),
    Rule("virt-overlap", Severity.ERROR, _KERNEL_MAPPING, _virtual_overlap),
    Rule(
        "efi-info-incomplete",
        Severity.ERROR,
        "Half an efi_info crashes the next kernel: find out what started this kernel so.",
        _incomplete_efi_info,
    ),
    Rule(
        "table-missing",
        Severity.ERROR,
        "Without it the next kernel takes a kexec for a first boot: update this kernel.",
        _missing_table,
    ),
    Rule(
        "runtime-table-lost",
        Severity.WARNING,
        "Kernels since 5.7 do not need it; do not kexec into an older one.",
        _lost_runtime,
    ),
)
