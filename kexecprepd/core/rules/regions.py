# SPDX-License-Identifier: LGPL-2.1-or-later
"""Rules for the runtime regions alone: each by itself, and one against the other."""

from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise

from ...abi.efi import (
    KNOWN_ATTRIBUTES,
    PAGE_SIZE,
    U64,
    VA_END,
    VA_START,
    MemoryType,
)
from ..entries import overflows
from ..finding import Severity
from ..image import MAX_REGIONS
from ..intervals import Interval, overlapping_pairs
from ..snapshot import RuntimeRegion
from .rule import FIRMWARE_BUG, HANDED_ON, KERNEL_MAPPING, Hit, Rule, label, numbers, span
from .survey import Survey

_HUGE_PAGE = 1 << 21
_LAST_TYPE = max(MemoryType)
_FIRST_OEM_TYPE = 0x7000_0000


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
    """An entry of the runtime map does not begin at a multiple of 4 KiB, physically or virtually.
    Pages cannot be mapped so.
    """
    for region in survey.snapshot.runtime_map or ():
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
    regions: Iterable[RuntimeRegion], space: str, of: Callable[[RuntimeRegion], Interval]
) -> Iterator[Hit]:
    for first, second in overlapping_pairs(regions, of):
        # Virtual ends of damaged regions can lie beyond the 64 bits that a detail has.
        shared = Interval(of(second).start, min(of(first).end, of(second).end, U64))
        details = {**numbers(second), "other-region": first.number, **span("overlap", shared)}
        yield Hit(
            f"Runtime regions {first.number} and {second.number} overlap in {space} memory.",
            details,
        )


def _physical_overlap(survey: Survey) -> Iterator[Hit]:
    """Two entries of the runtime map share physical memory. The next kernel would map it twice,
    with attributes that contradict each other.
    """
    return _overlap_in(survey.sound_entries, "physical", lambda each: each.extent)


def _virtual_overlap(survey: Survey) -> Iterator[Hit]:
    """Two regions share virtual addresses. Only one of them can be mapped there, and the firmware
    would find the other's memory.
    """
    return _overlap_in(survey.sound, "virtual", lambda each: each.virtual_extent)


def _not_descending(survey: Survey) -> Iterator[Hit]:
    """A region's virtual address is not below that of the region with the next lower number. A
    kernel that was started by a boot loader maps the regions in the order of their numbers, each
    below the one before it (efi_map_region()), so one of the two is not where the firmware has been
    told that it is. Kernels that were started by kexec list them in any order, and the view lists
    them ascending by physical address.
    """
    mapped = [region for region in survey.sound_entries if _mapped(region)]
    as_in_the_view = all(a.phys_addr < b.phys_addr for a, b in pairwise(mapped))
    if as_in_the_view or not survey.snapshot.started_by_boot_loader:
        return
    for above, below in pairwise(mapped):
        if below.virt_addr >= above.virt_addr:
            yield Hit(
                f"Runtime regions {above.number} and {below.number} are not mapped "
                "in the order of their numbers.",
                {**numbers(below), "other-region": above.number},
            )


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
    """The runtime map lists boot-services regions without the RUNTIME attribute beside those that
    the kernel keeps with it, as efi=debug asks for. They are left out of the image: the next kernel
    would keep their memory for life. In this kernel they are kept, so they are excluded ranges.
    """
    count = len(survey.snapshot.left_out)
    if count:
        yield Hit(f"{count} boot-services regions without RUNTIME are left out.", {"count": count})


def _untagged(survey: Survey) -> Iterator[Hit]:
    """The kernel keeps boot-services regions, because a firmware table is in them, and does not
    give them the RUNTIME attribute, as older kernels do. They are in the image with it, so that
    it is the same in every kernel that one after the other starts.
    """
    count = sum(
        entry.is_boot_services and not entry.is_runtime
        for entry in survey.snapshot.runtime_map or ()
    ) - len(survey.snapshot.left_out)
    if count:
        yield Hit(
            f"{count} boot-services regions without RUNTIME are handed over with it.",
            {"count": count},
        )


def _strange_without_runtime(survey: Survey) -> Iterator[Hit]:
    """An entry of the runtime map lacks the RUNTIME attribute and is not of boot services. A 64-bit
    kernel lists none but those two (should_map_region() in arch/x86/platform/efi/efi.c), so the
    attribute has been lost; without the region the next kernel's firmware calls would run into
    memory that is not mapped.
    """
    for entry in survey.snapshot.runtime_map or ():
        if not entry.is_runtime and not entry.is_boot_services:
            yield Hit(f"{label(entry)} lacks the RUNTIME attribute.", numbers(entry))


def _no_code(survey: Survey) -> Iterator[Hit]:
    """The runtime map lists no runtime code, though there is runtime data in more than one place,
    or nothing at all. Without code there is nothing that the next kernel could call: it is lost.
    """
    data = _count(survey, MemoryType.RUNTIME_SERVICES_DATA)
    if not _count(survey, MemoryType.RUNTIME_SERVICES_CODE) and (
        data > 1 or not survey.snapshot.runtime_regions
    ):
        yield Hit("The runtime map lists no runtime code.")


def _excerpt(survey: Survey) -> Iterator[Hit]:
    """The runtime map lists no runtime code, and at most one region of runtime data: it looks as if
    only a part of a machine's map was written down, its device memory say. With no more than that
    the next kernel has no firmware to call.
    """
    if (
        survey.snapshot.runtime_regions
        and not _count(survey, MemoryType.RUNTIME_SERVICES_CODE)
        and _count(survey, MemoryType.RUNTIME_SERVICES_DATA) <= 1
    ):
        yield Hit("The runtime map lists no runtime code, and hardly any runtime data.")


def _count(survey: Survey, kind: MemoryType) -> int:
    return sum(region.type == kind for region in survey.snapshot.runtime_regions)


def _lost(survey: Survey) -> Iterator[Hit]:
    """This kernel was started by kexec and handed more memory descriptors than its runtime map
    lists. It drops none of them that is in order, so either what it was handed or what it shows is
    not whole.
    """
    handed = survey.snapshot.handed_regions
    shown = len(survey.snapshot.runtime_map or ())
    if handed is not None and shown < handed:
        yield Hit(
            f"This kernel was handed {handed} memory descriptors and shows {shown} regions.",
            {"handed": handed, "shown": shown},
        )


def _split(survey: Survey) -> Iterator[Hit]:
    """Regions of boot services data that adjoin have one virtual address. A kernel that was started
    by kexec makes them of one region, where it finds a firmware table inside
    (efi_arch_mem_reserve(), since Linux 5.5), and gives the pieces no addresses of their own. They
    are handed over as the one region that they were: what this kernel was given.
    """
    snapshot = survey.snapshot
    kept = sum(e.is_runtime or e.is_boot_services for e in snapshot.runtime_map or ())
    count = kept - len(snapshot.left_out) - len(snapshot.runtime_regions)
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
    from the ranges for OEMs and operating systems. It is handed over as it is, and mapped as data
    is: if it was code, the next kernel cannot call it.
    """
    for region in survey.snapshot.runtime_regions:
        if _LAST_TYPE < region.type < _FIRST_OEM_TYPE:
            yield Hit(f"{label(region)} has a memory type without a name.", numbers(region))


def _unknown_attribute_file(survey: Survey) -> Iterator[Hit]:
    """The kernel shows a file in the entries of the runtime map or of the memory map that this
    version does not know, as a coming kernel may. What it says is not handed over; the files that
    are known say the rest.
    """
    for name in survey.snapshot.unknown_attributes:
        yield Hit("The kernel shows a file of its maps that is not known.", {"file": name})


_LEFT_OUT = "Nothing to do; boot without efi=debug to have their memory back."

RULES: tuple[Rule, ...] = (
    Rule("region-empty", Severity.ERROR, FIRMWARE_BUG, _empty, HANDED_ON),
    Rule("region-overflow", Severity.ERROR, FIRMWARE_BUG, _overflow, HANDED_ON),
    Rule("region-misaligned", Severity.ERROR, FIRMWARE_BUG, _misaligned, HANDED_ON),
    Rule("virt-outside-window", Severity.ERROR, KERNEL_MAPPING, _outside_window, HANDED_ON),
    Rule("virt-incongruent", Severity.ERROR, KERNEL_MAPPING, _incongruent, HANDED_ON),
    Rule("phys-overlap", Severity.ERROR, FIRMWARE_BUG, _physical_overlap, HANDED_ON),
    Rule("virt-overlap", Severity.ERROR, KERNEL_MAPPING, _virtual_overlap, HANDED_ON),
    Rule(
        "virt-not-descending",
        Severity.ERROR,
        "The running kernel cannot have mapped the regions so: boot again, and if it is still so, "
        "report it to the kernel.",
        _not_descending,
    ),
    Rule("too-many-regions", Severity.ERROR, FIRMWARE_BUG, _too_many, HANDED_ON),
    Rule("region-conventional", Severity.ERROR, FIRMWARE_BUG, _invites_kernel, HANDED_ON),
    Rule(
        "region-unexplained",
        Severity.ERROR,
        "The kernel lists no such region: boot again, and if it is still so, report it to the "
        "kernel.",
        _strange_without_runtime,
        HANDED_ON,
    ),
    Rule("runtime-code-missing", Severity.ERROR, FIRMWARE_BUG, _no_code, HANDED_ON),
    Rule("region-without-runtime", Severity.INFO, _LEFT_OUT, _without_runtime),
    Rule("boot-services-untagged", Severity.INFO, "Nothing to do.", _untagged),
    Rule(
        "region-split",
        Severity.INFO,
        "Nothing to do: the next kernel gets the region as it was.",
        _split,
    ),
    Rule(
        "regions-lost",
        Severity.WARNING,
        "Boot through the firmware before you rely on a kexec, and report this to the loader that "
        "started this kernel.",
        _lost,
    ),
    Rule(
        "runtime-code-unlisted",
        Severity.WARNING,
        "Compare the runtime map with the kernel's log, as efi=debug writes it: a machine has "
        "runtime code.",
        _excerpt,
    ),
    Rule(
        "type-undefined",
        Severity.WARNING,
        "Try a kexec before you rely on it; tell the firmware's vendor.",
        _unknown_type,
    ),
    Rule(
        "attribute-unknown",
        Severity.INFO,
        "Nothing to do; a newer specification may name it.",
        _unknown_attribute,
    ),
    Rule(
        "attribute-file-unknown",
        Severity.INFO,
        "Nothing to do; a newer kexecprepd may know it.",
        _unknown_attribute_file,
    ),
)
