# SPDX-License-Identifier: LGPL-2.1-or-later
"""Rules for the memory map itself: against itself, against what was there at boot, and now."""

from collections.abc import Iterable, Iterator

from ...abi.bootparam import E820_MAX_ENTRIES
from ..cmdline import words
from ..finding import Severity
from ..intervals import Interval, outside, overlapping_pairs, union, within
from ..presence import Part, absent_memory, cut_memory
from .fit import column_of
from .rule import FIRMWARE_BUG, HANDED_ON, Hit, Rule, label, numbers, span
from .survey import Survey

_NAMELESS = ("unknown e820 type",)

_FIRST_MEGABYTE = 1 << 20


def _missing(survey: Survey) -> Iterator[Hit]:
    """The kernel shows no memory map, or a single range out of the midst of one, so nothing can be
    checked against it, and no loader can tell by it where System RAM is.
    """
    if not survey.snapshot.memory_map:
        yield Hit("The kernel shows no memory map to check the runtime map against.")
    elif _is_excerpt(survey):
        yield Hit("The memory map has but one range, and the runtime map is checked against that.")


def _is_excerpt(survey: Survey) -> bool:
    """Whether the memory map was not handed on whole: every map begins with the first megabyte."""
    ranges = survey.snapshot.memory_map or ()
    return len(ranges) == 1 and not ranges[0].is_ram and ranges[0].start >= _FIRST_MEGABYTE


def _without_ram(survey: Survey) -> Iterator[Hit]:
    """The memory map has no System RAM, or calls all of it something else as well. This kernel
    runs, so the memory map is not that of this machine, and nothing that was checked against it is
    worth anything.
    """
    if survey.snapshot.memory_map and not _is_excerpt(survey) and not survey.has_ram:
        yield Hit("The memory map has no System RAM that a kernel could use.")


def _inverted(survey: Survey) -> Iterator[Hit]:
    """A range of the memory map ends before it begins. The kernel shows an entry so that wraps
    around the address space.
    """
    for memory in survey.snapshot.memory_map or ():
        if memory.start > memory.end:
            yield Hit(
                f"Memory range {memory.number} ends before it begins.",
                {"range": memory.number, **span("range", memory.extent)},
            )


def _overlaps(survey: Survey, *, same: bool) -> Iterator[Hit]:
    for first, second in overlapping_pairs(survey.upright, lambda each: each.extent):
        if (first.kind == second.kind) is same:
            shared = Interval(second.start, min(first.end, second.end))
            yield Hit(
                f"Memory ranges {first.number} and {second.number} overlap.",
                {"range": second.number, "other-range": first.number, **span("overlap", shared)},
            )


def _contradiction(survey: Survey) -> Iterator[Hit]:
    """Two ranges of the memory map overlap and say different things of the same memory. The next
    kernel takes the higher type, loaders may take the other.
    """
    return _overlaps(survey, same=False)


def _repetition(survey: Survey) -> Iterator[Hit]:
    """Two ranges of the memory map overlap and say the same, as after memory was unplugged that
    had been there at boot, and plugged in again.
    """
    return _overlaps(survey, same=True)


def _unknown_type(survey: Survey) -> Iterator[Hit]:
    """A range of the memory map has a type that this version does not know. It is taken for
    reserved.
    """
    for memory in survey.snapshot.memory_map or ():
        if column_of(memory.kind) == "unknown" and memory.kind not in _NAMELESS:
            yield Hit(
                f"Memory range {memory.number} has a type that is not known.",
                {"range": memory.number, "type": memory.type},
            )


def _too_long(survey: Survey) -> Iterator[Hit]:
    """The memory map has more entries than struct boot_params holds. kexec_file_load(2) drops the
    rest; loaders that pass them in a SETUP_E820_EXT node do not.
    """
    count = len(survey.snapshot.memory_map or ())
    if count > E820_MAX_ENTRIES:
        yield Hit(
            f"The memory map has {count} entries, more than {E820_MAX_ENTRIES}.", {"count": count}
        )


def _missing_parts(parts: Iterable[Part], why: str) -> Iterator[Hit]:
    for memory, part in parts:
        yield Hit(
            f"Memory range {memory.number} lists memory that is not present{why}.",
            {"range": memory.number, **span("absent", part)},
        )


def _missed(survey: Survey) -> Iterator[Part]:
    """What is absent for another reason than that this kernel has withheld it."""
    withheld = union(survey.snapshot.withheld)
    for memory, part in absent_memory(survey.snapshot):
        yield from ((memory, piece) for piece in outside(withheld, part))


def _withheld(survey: Survey) -> Iterator[Hit]:
    """The memory map lists System RAM that this kernel does not use, as the processor's MTRRs do
    not cover it (mtrr_trim_uncached_memory()). It is there, and the next kernel leaves it alone,
    too. /proc/iomem tells, and tells it root alone: the service says memory-absent instead.
    """
    withheld = union(survey.snapshot.withheld)
    for memory, part in absent_memory(survey.snapshot):
        parts = ((memory, piece) for piece in within(withheld, part))
        yield from _missing_parts(parts, " to this kernel, which has withheld it")


def _absent(survey: Survey) -> Iterator[Hit]:
    """The memory map lists System RAM that is not there (any more): the kernel does not take memory
    out of its map that was there at boot. The next kernel would use it and crash, unless the
    loader looks at /sys/devices/system/memory as well. Or this kernel has withheld it, as the
    processor's MTRRs do not cover it: then its log tells of lost RAM, and the next does the same.
    """
    return _missing_parts(_missed(survey), "")


def _cut(survey: Survey) -> Iterator[Hit]:
    """The memory map lists System RAM that this kernel does not use, as mem= or memmap= on its
    command line asks for. The next kernel uses it unless it is told the same.
    """
    return _missing_parts(cut_memory(survey.snapshot), ", as the command line has it")


def _plugged_in(survey: Survey) -> tuple[Interval, ...]:
    """System RAM that the memory map at boot did not have."""
    listed = survey.snapshot.e820_at_boot
    if not listed:
        return ()
    at_boot = union(Interval(e.start, e.start + e.size - 1) for e in listed)
    ram = (memory for memory in survey.upright if memory.is_ram)
    return union(part for memory in ram for part in outside(at_boot, memory.extent))


def _over_firmware(survey: Survey) -> Iterator[Hit]:
    """Memory was plugged in where the firmware has a runtime region. One of the two is not what it
    says.
    """
    plugged = _plugged_in(survey)
    for region in survey.sound:
        for part in within(plugged, region.extent):
            yield Hit(
                f"{label(region)} lies in memory that was plugged in after boot.",
                {**numbers(region), **span("part", part)},
            )


def _soft_reserved(survey: Survey) -> Iterator[Hit]:
    """The machine has memory for a special purpose (HBM, CXL). The image does not tell of it; it
    stays reserved for its purpose where the loader passes the memory map's types on, which
    kexec-tools does not.
    """
    if any(memory.kind == "soft reserved" for memory in survey.snapshot.memory_map or ()):
        yield Hit("There is soft-reserved memory.")


def _mirror(survey: Survey) -> Iterator[Hit]:
    """The kernel was booted with kernelcore=mirror. The next one cannot tell which memory is
    mirrored: only the firmware's full memory map says so, and that is not handed over.
    """
    if "kernelcore=mirror" in words(survey.snapshot.kernel.cmdline):
        yield Hit("kernelcore=mirror will have no effect in the next kernel.")


_NOTHING = "Nothing to do."

RULES: tuple[Rule, ...] = (
    Rule(
        "memmap-missing",
        Severity.WARNING,
        "Use a kernel with CONFIG_FIRMWARE_MEMMAP=y.",
        _missing,
    ),
    Rule("memmap-without-ram", Severity.ERROR, FIRMWARE_BUG, _without_ram, HANDED_ON),
    Rule("memmap-inverted", Severity.WARNING, FIRMWARE_BUG, _inverted, HANDED_ON),
    Rule("memmap-contradiction", Severity.WARNING, FIRMWARE_BUG, _contradiction, HANDED_ON),
    Rule("memmap-repetition", Severity.INFO, _NOTHING, _repetition),
    Rule(
        "memmap-type-unknown",
        Severity.INFO,
        "Nothing to do; report the type to kexecprepd.",
        _unknown_type,
    ),
    Rule(
        "memmap-too-long",
        Severity.WARNING,
        "Load with kexec_load(2) and a loader that passes SETUP_E820_EXT.",
        _too_long,
    ),
    Rule(
        "memory-absent",
        Severity.WARNING,
        "Reboot through the firmware, or use a loader that leaves absent memory out.",
        _absent,
    ),
    Rule(
        "memory-withheld",
        Severity.INFO,
        "Nothing to do; a newer firmware may set the MTRRs right.",
        _withheld,
    ),
    Rule("memory-cut", Severity.INFO, "Give the next kernel the same option.", _cut),
    Rule("region-in-plugged-memory", Severity.ERROR, FIRMWARE_BUG, _over_firmware, HANDED_ON),
    Rule(
        "soft-reserved-memory",
        Severity.INFO,
        "Use a loader that keeps the memory map's types.",
        _soft_reserved,
    ),
    Rule("mirror-lost", Severity.WARNING, "Boot through the firmware to have it.", _mirror),
)
