# SPDX-License-Identifier: LGPL-2.1-or-later
"""Rules for the runtime regions alone: each by itself, and one against the other."""

from collections.abc import Callable, Iterator

from ...abi.efi import (
    KNOWN_ATTRIBUTES,
    PAGE_SIZE,
    U64,
    VA_END,
    VA_START,
    MemoryType,
)
from ..finding import Severity
from ..image import MAX_REGIONS
from ..intervals import Interval, overlapping_pairs
from ..snapshot import RuntimeRegion
from ..unsupported import efi_options
from .rule import FIRMWARE_BUG, KERNEL_MAPPING, Hit, Rule, label, numbers, span
from .survey import Survey, overflows

_HUGE_PAGE = 1 << 21


def _mapped(region: RuntimeRegion) -> bool:
    return VA_END <= region.virt_addr <= region.virt_end < VA_START


def _empty(survey: Survey) -> Iterator[Hit]:
    """An entry of the runtime map has no pages. The kernel drops such descriptors when it boots, so
    a map that shows one is damaged, whether or not the entry would be handed over.
    """
    for region in survey.snapshot.runtime_map or ():
        if region.num_pages == 0:
            yield Hit(f"{label(region)} has no pages.", numbers(region))


def _overflow(survey: Survey) -> Iterator[Hit]:
    """An entry of the runtime map reaches beyond the 52 bits of a physical address, or has more
    pages than the kernel's mapping code can count. There is no such memory: the next kernel would
    drop the entry, or map something else.
    """
    for region in survey.snapshot.runtime_map or ():
        if overflows(region):
            yield Hit(f"{label(region)} reaches beyond what can be mapped.", numbers(region))


def _misaligned(survey: Survey) -> Iterator[Hit]:
    """A region does not begin at a multiple of 4 KiB, physically or virtually. Pages cannot be
    mapped so.
    """
    for region in survey.snapshot.runtime_regions:
        for name, address in (("physical", region.phys_addr), ("virtual", region.virt_addr)):
            if address % PAGE_SIZE:
                yield Hit(
                    f"{label(region)} has a {name} address that is not page-aligned.",
                    numbers(region),
                )


def _outside_window(survey: Survey) -> Iterator[Hit]:
    """A region has no virtual address, or one outside the 64 GiB that x86-64 Linux sets aside for
    EFI. The kernel lists a region for which the window had no room left without a mapping; the
    next kernel would map it at address 0, or lose its mapping among the kernel's own.
    """
    for region in survey.sound:
        if region.virt_addr == 0:
            yield Hit(f"{label(region)} has no virtual address.", numbers(region))
        elif not _mapped(region):
            yield Hit(f"{label(region)} is mapped outside the EFI window.", numbers(region))


def _incongruent(survey: Survey) -> Iterator[Hit]:
    """A region's virtual and physical address differ in their low 21 bits. The kernel gives every
    region a virtual address with the same offset into a 2 MiB page (efi_map_region()), so this
    one is not where the firmware has been told that the region is.
    """
    for region in survey.sound:
        misplaced = (region.virt_addr ^ region.phys_addr) % _HUGE_PAGE
        aligned = region.virt_addr % PAGE_SIZE == region.phys_addr % PAGE_SIZE == 0
        if misplaced and aligned and _mapped(region):
            yield Hit(
                f"{label(region)} has a virtual address that the kernel cannot have given it.",
                numbers(region),
            )


def _overlap_in(
    survey: Survey, space: str, of: Callable[[RuntimeRegion], Interval]
) -> Iterator[Hit]:
    for first, second in overlapping_pairs(survey.sound, of):
        # Virtual ends of damaged regions can lie beyond the 64 bits that a detail has.
        shared = Interval(of(second).start, min(of(first).end, of(second).end, U64))
        details = {**numbers(second), "other-region": first.number, **span("overlap", shared)}
        yield Hit(
            f"Runtime regions {first.number} and {second.number} overlap in {space} memory.",
            details,
        )


def _physical_overlap(survey: Survey) -> Iterator[Hit]:
    """Two regions share physical memory. The next kernel would map it twice, with attributes that
    contradict each other.
    """
    return _overlap_in(survey, "physical", lambda each: each.extent)


def _virtual_overlap(survey: Survey) -> Iterator[Hit]:
    """Two regions share virtual addresses. Only one of them can be mapped there, and the firmware
    would find the other's memory.
    """
    return _overlap_in(survey, "virtual", lambda r: Interval(r.virt_addr, r.virt_end))


def _too_many(survey: Survey) -> Iterator[Hit]:
    """The descriptors do not fit into the 256 KiB that the next kernel can map early in its boot
    (64 pages, __early_ioremap()).
    """
    count = len(survey.snapshot.runtime_regions)
    if count > MAX_REGIONS:
        yield Hit(f"There are {count} runtime regions; {MAX_REGIONS} can be handed over.")


def _invites_kernel(survey: Survey) -> Iterator[Hit]:
    """A region has a type that means free memory. The next kernel's decompressor looks for memory
    of just these types to place the kernel in (process_efi_entries() in
    arch/x86/boot/compressed/kaslr.c), and would take the region for it.
    """
    for region in survey.snapshot.runtime_regions:
        if region.type in (MemoryType.CONVENTIONAL, MemoryType.UNACCEPTED):
            yield Hit(f"{label(region)} would be taken for free memory.", numbers(region))


def _without_runtime(survey: Survey) -> Iterator[Hit]:
    """The runtime map lists boot-services regions without the RUNTIME attribute, as it does with
    efi=debug. They are left out of the image: the next kernel would keep their memory for life.
    """
    count = len(_boot_services(survey))
    if count and _debug(survey) is not False:
        yield Hit(f"{count} boot-services regions without RUNTIME are left out.", {"count": count})


def _strange_without_runtime(survey: Survey) -> Iterator[Hit]:
    """The runtime map lists regions without the RUNTIME attribute that efi=debug does not explain.
    They are left out of the image.
    """
    others = [r for r in survey.snapshot.runtime_map or () if not r.is_runtime]
    if _debug(survey) is not False:
        kept = {r.number for r in _boot_services(survey)}
        others = [r for r in others if r.number not in kept]
    if others:
        yield Hit(
            f"{len(others)} regions without RUNTIME are left out, from region "
            f"{others[0].number} on.",
            {"count": len(others), **numbers(others[0])},
        )


def _boot_services(survey: Survey) -> list[RuntimeRegion]:
    types = (MemoryType.BOOT_SERVICES_CODE, MemoryType.BOOT_SERVICES_DATA)
    return [r for r in survey.snapshot.runtime_map or () if not r.is_runtime and r.type in types]


def _debug(survey: Survey) -> bool | None:
    """Whether efi=debug was given; None where nothing tells: the command line is not known, or the
    regions came from the kernel before this one, with its own.
    """
    handed = bool(survey.snapshot.handed_efi)
    if survey.snapshot.kernel.cmdline is None or handed:
        return None
    return "debug" in efi_options(survey.snapshot.kernel.cmdline)


def _split(survey: Survey) -> Iterator[Hit]:
    """Regions of boot services data that adjoin have one virtual address. A kernel that was started
    by kexec makes them of one region, where it finds a firmware table inside
    (efi_arch_mem_reserve(), since Linux 5.5), and gives the pieces no addresses of their own. They
    are handed over as the one region that they were: what this kernel was given.
    """
    pieces = sum(region.is_runtime for region in survey.snapshot.runtime_map or ())
    count = pieces - len(survey.snapshot.runtime_regions)
    if count:
        yield Hit(
            f"This kernel has split regions, into {count} more: they are joined again.",
            {"count": count},
        )


def _unknown_attribute(survey: Survey) -> Iterator[Hit]:
    """A region has an attribute bit that the UEFI specification 2.10 does not assign. It is handed
    over as it is.
    """
    for region in survey.snapshot.runtime_regions:
        if region.attribute & ~KNOWN_ATTRIBUTES:
            yield Hit(f"{label(region)} has an attribute bit without a name.", numbers(region))


def _unknown_type(survey: Survey) -> Iterator[Hit]:
    """A region has a memory type that the UEFI specification leaves undefined, neither its own nor
    from the ranges for OEMs and operating systems. It is handed over as it is.
    """
    for region in survey.snapshot.runtime_regions:
        if max(MemoryType) < region.type < 0x7000_0000:
            yield Hit(f"{label(region)} has a memory type without a name.", numbers(region))


_LEFT_OUT = "Nothing to do: they are not needed after boot."

RULES: tuple[Rule, ...] = (
    Rule("region-empty", Severity.ERROR, FIRMWARE_BUG, _empty),
    Rule("region-overflow", Severity.ERROR, FIRMWARE_BUG, _overflow),
    Rule("region-misaligned", Severity.ERROR, FIRMWARE_BUG, _misaligned),
    Rule("virt-outside-window", Severity.ERROR, KERNEL_MAPPING, _outside_window),
    Rule("virt-incongruent", Severity.ERROR, KERNEL_MAPPING, _incongruent),
    Rule("phys-overlap", Severity.ERROR, FIRMWARE_BUG, _physical_overlap),
    Rule("virt-overlap", Severity.ERROR, KERNEL_MAPPING, _virtual_overlap),
    Rule("too-many-regions", Severity.ERROR, FIRMWARE_BUG, _too_many),
    Rule("region-conventional", Severity.ERROR, FIRMWARE_BUG, _invites_kernel),
    Rule("region-without-runtime", Severity.INFO, _LEFT_OUT, _without_runtime),
    Rule(
        "region-split",
        Severity.INFO,
        "Nothing to do: the next kernel gets the region as it was.",
        _split,
    ),
    Rule(
        "region-unexplained",
        Severity.WARNING,
        "Find out why the kernel lists them, and report it to the kernel.",
        _strange_without_runtime,
    ),
    Rule(
        "attribute-unknown",
        Severity.INFO,
        "Nothing to do; a newer specification may name it.",
        _unknown_attribute,
    ),
    Rule(
        "type-undefined",
        Severity.INFO,
        "Nothing to do; tell the firmware's vendor.",
        _unknown_type,
    ),
)
