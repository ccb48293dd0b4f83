# SPDX-License-Identifier: LGPL-2.1-or-later
"""Rules for the tables that the next kernel is told of."""

from collections.abc import Iterator

from ...abi.bootparam import SIGNATURE_64
from ...abi.efi import DESCRIPTOR_VERSION, PHYSICAL_BITS, UNSET, MemoryType
from ..finding import Severity
from ..image import acpi_rsdp, physical_runtime
from ..intervals import Interval, covers, union
from .rule import Hit, Rule
from .survey import Survey

_POINTER = 8
"""Bytes of a pointer of 64-bit firmware, which is what AllocatePool() aligns to as well."""

_OF_RUNTIME = (MemoryType.RUNTIME_SERVICES_CODE, MemoryType.RUNTIME_SERVICES_DATA)


def _incomplete_efi_info(survey: Survey) -> Iterator[Hit]:
    """What this kernel was told of EFI in boot_params.efi_info is not whole, so the next one cannot
    be told. With half of it, the next kernel divides by zero or takes a kexec for a first boot.
    """
    params = survey.snapshot.boot_params
    if params is None:
        yield Hit("The kernel does not show its own boot_params.")
        return
    if params.efi_info.signature != SIGNATURE_64:
        yield Hit("The kernel's own boot_params.efi_info lacks the signature EL64.")
    if not _is_physical(params.efi_info.systab):
        yield Hit("The kernel's own boot_params.efi_info holds no EFI system table.")
    if params.efi_info.memdesc_version != DESCRIPTOR_VERSION:
        version = params.efi_info.memdesc_version
        yield Hit(f"The kernel's own boot_params.efi_info has descriptor version {version}.")


def _two_widths(survey: Survey) -> Iterator[Hit]:
    """fw_platform_size says that the firmware is 32-bit, and boot_params.efi_info that it is
    64-bit. One of the two is wrong, and what the next kernel is told would be, too.
    """
    params, efi = survey.snapshot.boot_params, survey.snapshot.efi
    if params is None or efi is None:
        return
    if efi.fw_platform_size == 32 and params.efi_info.signature == SIGNATURE_64:
        yield Hit("The kernel says of its firmware that it is 32-bit, and that it is 64-bit.")


def _is_physical(address: int | None) -> bool:
    """Whether it can be the physical address of a table, which is never at 0."""
    return address is not None and 0 < address < 1 << PHYSICAL_BITS


def _no_own_map(survey: Survey) -> Iterator[Hit]:
    """This kernel's own boot_params.efi_info says that its EFI memory map is empty. Loaders that
    look at that, kexec-tools and kexec_file_load(2), leave EFI out without a word.
    """
    params = survey.snapshot.boot_params
    if params is not None and (
        params.efi_info.memmap_size == 0 or params.efi_info.memdesc_size == 0
    ):
        yield Hit("The kernel's own boot_params.efi_info describes an empty memory map.")


def _missing_table(survey: Survey) -> Iterator[Hit]:
    """The kernel has no physical address of the EFI configuration table. The next kernel would look
    for its tables at address 0, or where there is no memory.
    """
    efi = survey.snapshot.efi
    if efi is not None and not _is_physical(efi.config_table):
        yield Hit("The kernel knows no address for config_table.", {"table": "config_table"})
    if efi is not None and efi.fw_vendor is None:
        # Hidden, and not just empty: no image can be made without the file.
        yield Hit("The kernel hides fw_vendor.", {"table": "fw_vendor"})


def _missing_vendor(survey: Survey) -> Iterator[Hit]:
    """The kernel has no address of the firmware vendor's name. The next kernel prints something
    else in its place, and is none the worse.
    """
    efi = survey.snapshot.efi
    if efi is not None and efi.fw_vendor in (0, UNSET):
        yield Hit("The kernel knows no address for fw_vendor.", {"table": "fw_vendor"})


def _lost_runtime(survey: Survey) -> Iterator[Hit]:
    """The runtime services table has a virtual address, as in every kernel that was started by
    kexec, but no region of the map contains it; or it has none at all. Kernels up to 5.6 would
    need the physical one.
    """
    if survey.snapshot.efi is None or survey.snapshot.efi.runtime is None:
        return
    if not physical_runtime(survey.snapshot):
        yield Hit(
            "The runtime services table lies at no address that a runtime region maps.",
            {"runtime": survey.snapshot.efi.runtime},
        )


def _needed_tables(survey: Survey) -> Iterator[tuple[str, int]]:
    """What the next kernel reads of the firmware's own: (name, physical address)."""
    efi, params = survey.snapshot.efi, survey.snapshot.boot_params
    candidates = (
        ("config_table", efi.config_table if efi else None),
        ("efi_systab", params.efi_info.systab if params else None),
        ("runtime", physical_runtime(survey.snapshot)),
    )
    for name, address in candidates:
        if address is not None and _is_physical(address):
            yield name, address


def _misaligned(survey: Survey) -> Iterator[Hit]:
    """The EFI system table or the configuration table does not begin at a multiple of 8 bytes. Both
    hold pointers, and the firmware allocates neither so.
    """
    for name, address in _pointers(survey):
        if address % _POINTER:
            yield Hit(f"{name} is not aligned.", {"table": name, "address": address})


def _beyond_memory(survey: Survey) -> Iterator[Hit]:
    """The EFI system table or the configuration table lies beyond all that the memory map and the
    runtime map know of. There is nothing, and the next kernel would follow pointers in it.
    """
    ends = [each.end for each in survey.upright] + [each.phys_end for each in survey.sound]
    for name, address in _pointers(survey):
        if survey.snapshot.memory_map and address > max(ends, default=0):
            yield Hit(f"{name} lies beyond all memory.", {"table": name, "address": address})


def _pointers(survey: Survey) -> Iterator[tuple[str, int]]:
    """The tables of pointers that the next kernel follows."""
    return (each for each in _needed_tables(survey) if each[0] != "runtime")


def _regions(survey: Survey, types: tuple[int, ...] | None = None) -> tuple[Interval, ...]:
    return union(r.extent for r in survey.sound if types is None or r.type in types)


def _lies_in(united: tuple[Interval, ...], address: int) -> bool:
    return covers(united, Interval(address, address))


def _table_in_ram(survey: Survey) -> Iterator[Hit]:
    """A table that the next kernel reads lies in System RAM that no runtime region keeps. Whatever
    has been written there since boot, the next kernel would follow as pointers.
    """
    ram, kept = survey.ram, survey.kept
    for name, address in _needed_tables(survey):
        if _lies_in(ram, address) and not _lies_in(kept, address):
            yield Hit(f"{name} lies in System RAM.", {"table": name, "address": address})


def _table_outside(survey: Survey) -> Iterator[Hit]:
    """A table that the firmware must keep for runtime lies in no region of runtime code or data.
    It may not be mapped when the next kernel needs it.
    """
    ram, kept = survey.ram, survey.kept
    runtime = _regions(survey, _OF_RUNTIME)
    beyond = {hit.details["address"] for hit in _beyond_memory(survey)}
    for name, address in _needed_tables(survey):
        told = (_lies_in(ram, address) and not _lies_in(kept, address)) or address in beyond
        if not told and not _lies_in(runtime, address):
            details: dict[str, int | str] = {"table": name, "address": address}
            yield Hit(f"{name} lies in no runtime code or data.", details)


def _vendor_in_ram(survey: Survey) -> Iterator[Hit]:
    """The firmware vendor's name lies in memory that no runtime region keeps. The next kernel may
    print something else in its place, and is none the worse.
    """
    vendor = survey.snapshot.efi.fw_vendor if survey.snapshot.efi else None
    if vendor in (None, 0, UNSET):
        return
    address = int(vendor or 0)
    if _lies_in(survey.ram, address) and not _lies_in(survey.kept, address):
        yield Hit("fw_vendor lies in System RAM.", {"table": "fw_vendor", "address": address})


def _unknown_rsdp(survey: Survey) -> Iterator[Hit]:
    """Neither boot_params nor the firmware's tables give the address of ACPI's root pointer. The
    next kernel may come up without ACPI, and then without power-off.
    """
    if acpi_rsdp(survey.snapshot) == 0:
        yield Hit("The address of ACPI's root pointer is not known.")


def _published_in_ram(survey: Survey) -> Iterator[Hit]:
    """ACPI's root pointer or the SMBIOS entry point lies in System RAM that no runtime region
    keeps: it may have been overwritten since boot, and the next kernel finds no ACPI or no DMI.
    """
    ram, kept = survey.ram, survey.kept
    tables = dict(survey.snapshot.efi.systab) if survey.snapshot.efi else {}
    listed = [(name, tables[name]) for name in ("SMBIOS", "SMBIOS3") if name in tables]
    rsdp = acpi_rsdp(survey.snapshot)
    for name, address in ([("RSDP", rsdp)] if rsdp else []) + listed:
        if _lies_in(ram, address) and not _lies_in(kept, address):
            yield Hit(f"{name} lies in System RAM.", {"table": name, "address": address})


_TABLE_HINT = "Update the firmware, and report this to its vendor."
_MAY_BE_LOST = "Try a kexec before you rely on it; update the firmware and the boot loader."

RULES: tuple[Rule, ...] = (
    Rule(
        "efi-info-incomplete",
        Severity.ERROR,
        "Half an efi_info crashes the next kernel: find out what started this kernel so.",
        _incomplete_efi_info,
    ),
    Rule(
        "firmware-width",
        Severity.ERROR,
        "Boot again; if it is still so, report it to the kernel.",
        _two_widths,
    ),
    Rule(
        "efi-memmap-empty",
        Severity.WARNING,
        "Use a loader that asks kexecprepd; find out what started this kernel so.",
        _no_own_map,
    ),
    Rule(
        "table-missing",
        Severity.ERROR,
        "Without it the next kernel finds none of the firmware's tables: update this kernel.",
        _missing_table,
    ),
    Rule("table-in-ram", Severity.ERROR, _TABLE_HINT, _table_in_ram),
    Rule("table-misaligned", Severity.ERROR, _TABLE_HINT, _misaligned),
    Rule("table-beyond-memory", Severity.ERROR, _TABLE_HINT, _beyond_memory),
    Rule("table-outside-regions", Severity.WARNING, _TABLE_HINT, _table_outside),
    Rule("vendor-missing", Severity.INFO, "Nothing to do.", _missing_vendor),
    Rule("vendor-in-ram", Severity.INFO, "Nothing to do.", _vendor_in_ram),
    Rule(
        "runtime-table-lost",
        Severity.WARNING,
        "Kernels since 5.7 do not need it; do not kexec into an older one.",
        _lost_runtime,
    ),
    Rule("rsdp-unknown", Severity.WARNING, _MAY_BE_LOST, _unknown_rsdp),
    Rule("table-unprotected", Severity.WARNING, _MAY_BE_LOST, _published_in_ram),
)
