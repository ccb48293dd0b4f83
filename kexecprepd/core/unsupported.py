# SPDX-License-Identifier: LGPL-2.1-or-later
"""Tells the systems that have nothing to hand over, each in its own words.

Only where all the evidence agrees: what contradicts itself is damage, which is for the rules.
Adding a reason takes a function that says it in a sentence, and a row in REASONS. The function's
docstring is its entry in kexecprepd-findings(7).
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass

from ..abi.bootparam import SIGNATURE_32, SIGNATURE_64, SIGNATURE_XEN
from ..abi.efi import DESCRIPTOR_VERSION, PAGE_SIZE
from .cmdline import efi_options, runtime_off_option
from .entries import damaged
from .finding import Finding, Severity
from .snapshot import RuntimeRegion, Snapshot

_DIRECT_MAPS = (
    (0xFFFF_8800_0000_0000, 0xFFFF_FE00_0000_0000),
    (0xFF10_0000_0000_0000, 0xFFDF_0000_0000_0000),
)
"""Where the direct map and ioremap() are, with 4- and with 5-level paging, wherever KASLR puts
them: from the first address to before the last. Source: Documentation/arch/x86/x86_64/mm.rst."""

CONTAINED = Finding(
    Severity.INFO,
    "container",
    "This is a container, which may not read the machine's EFI runtime map.",
    "Ask on the host, outside the container.",
)
"""What is found where a container denies the reading."""


@dataclass(frozen=True, slots=True)
class Reason:
    """A reason's stable code, what to do about it, and the function that says it, or None."""

    code: str
    hint: str
    check: Callable[[Snapshot], str | None]

    @property
    def meaning(self) -> str:
        """What the manual says of it."""
        return inspect.getdoc(self.check) or ""


def unsupported(snapshot: Snapshot) -> Finding | None:
    """Why there is no runtime map to hand over on this system; None where there is one.

    None as well where the map is damaged: what damaged it may have made the rest look so, too.
    The finding has severity info: nothing is wrong, there is just nothing to be done.
    """
    if damaged(snapshot.runtime_map or ()):
        return None
    for reason in REASONS:
        sentence = reason.check(snapshot)
        if sentence is not None:
            return Finding(Severity.INFO, reason.code, sentence, reason.hint)
    return None


def _signature(snapshot: Snapshot) -> bytes:
    return snapshot.boot_params.efi_info.signature if snapshot.boot_params else b""


def _hides_tables(snapshot: Snapshot) -> bool:
    """Whether the kernel shows EFI, but none of the three files that lead to its tables."""
    efi = snapshot.efi
    return efi is not None and (efi.fw_vendor, efi.runtime, efi.config_table) == (None,) * 3


def _xen(snapshot: Snapshot) -> str | None:
    """Linux runs under Xen, as its first guest: Xen keeps the runtime services to itself. A guest
    with a firmware of its own has them as any machine has.
    """
    paravirtual = (
        snapshot.kernel.hypervisor == "xen"
        and snapshot.runtime_map is None
        and _hides_tables(snapshot)
    )
    if _signature(snapshot) == SIGNATURE_XEN or paravirtual:
        return "Linux runs under Xen here, which keeps the EFI runtime services to itself."
    return None


def _other_architecture(snapshot: Snapshot) -> str | None:
    """The kernel is not an x86 one. On arm64 and riscv64 EFI goes over to the next kernel in the
    device tree's /chosen, on loongarch64 in registers; the loader does that, and there is no
    runtime map to prepare.
    """
    if snapshot.runtime_map is None and snapshot.boot_params is None and _hides_tables(snapshot):
        return (
            "This is no x86 kernel: EFI goes over to the next one in the device tree or in "
            "registers, and there is nothing to prepare."
        )
    return None


def _hidden(snapshot: Snapshot) -> str | None:
    """The kernel was booted through UEFI, but nothing of /sys/firmware is shown, as in a container
    that hides it.
    """
    through_uefi = _signature(snapshot) in (SIGNATURE_64, SIGNATURE_32)
    if snapshot.efi is None and snapshot.memory_map is None and through_uefi:
        return (
            "This system was booted through UEFI, but /sys/firmware is hidden here, "
            "as in a container."
        )
    return None


def _not_uefi(snapshot: Snapshot) -> str | None:
    """The kernel has no EFI: the system was not booted through UEFI, or the kernel was built
    without CONFIG_EFI or could not set it up.
    """
    if snapshot.efi is not None:
        return None
    if _signature(snapshot) in (SIGNATURE_64, SIGNATURE_32):
        return (
            "This system was booted through UEFI, but its kernel has no EFI: it was built without "
            "CONFIG_EFI, or failed to set it up."
        )
    return "This system was not booted through UEFI: there is no EFI to hand over."


def _firmware_32_bit(snapshot: Snapshot) -> str | None:
    """The firmware is 32-bit under a 64-bit kernel (mixed mode), where the kernel cannot hand EFI
    over.
    """
    narrow = snapshot.efi is not None and snapshot.efi.fw_platform_size == 32
    if narrow and (snapshot.boot_params is None or _signature(snapshot) == SIGNATURE_32):
        return (
            "The firmware is 32-bit under a 64-bit kernel (mixed mode), "
            "where the kernel cannot hand EFI over."
        )
    return None


def _runtime_services_off(snapshot: Snapshot) -> str | None:
    """The kernel was booted with noefi or efi=noruntime, which switch the runtime services off."""
    option = runtime_off_option(snapshot.kernel.cmdline)
    if snapshot.runtime_map is None and option is not None:
        return f"The kernel was booted with {option}, which switches the EFI runtime services off."
    return None


def _realtime_kernel(snapshot: Snapshot) -> str | None:
    """A real-time kernel leaves the runtime services off, unless it is told otherwise."""
    told = "runtime" in efi_options(snapshot.kernel.cmdline or "")
    if snapshot.runtime_map is None and snapshot.kernel.realtime and not told:
        return "This is a real-time kernel, which leaves the EFI runtime services off."
    return None


def _no_runtime_map(snapshot: Snapshot) -> str | None:
    """EFI is on, but the kernel shows no runtime map. It leaves the runtime services off
    (CONFIG_EFI_DISABLE_RUNTIME), failed to set them up, as its log says then, or was built without
    CONFIG_EFI_RUNTIME_MAP, which EFI selects since Linux 6.8. Where the command line is not known,
    it may be the cause.
    """
    if snapshot.runtime_map is not None:
        return None
    causes = (
        "its runtime services are off (CONFIG_EFI_DISABLE_RUNTIME), could not be set up, or it was "
        "built without CONFIG_EFI_RUNTIME_MAP, as kernels before 6.8 can be"
    )
    if snapshot.kernel.cmdline is None:
        return (
            "The kernel shows no runtime map: it was booted with noefi or efi=noruntime, is a "
            f"real-time kernel, {causes}."
        )
    return f"The kernel shows no runtime map, though EFI is on: {causes}."


def _no_runtime_regions(snapshot: Snapshot) -> str | None:
    """The runtime map has no entries at all, and this kernel was not handed any."""
    if snapshot.runtime_map == () and not snapshot.handed_regions:
        return "The kernel's runtime map holds no region with the RUNTIME attribute."
    return None


def _efi_old_map(snapshot: Snapshot) -> str | None:
    """The kernel mapped EFI outside the window of x86-64 (efi=old_map), in its direct map and by
    ioremap(), at addresses that no other kernel can use.
    """
    regions = snapshot.runtime_regions
    if any(map(_directly_mapped, regions)) and all(
        _directly_mapped(region) or (region.virt_addr == 0 and _asks_for_old_map(snapshot))
        for region in regions
    ):
        return (
            "The kernel mapped EFI outside the x86-64 EFI window (efi=old_map), "
            "at addresses that no other kernel can use."
        )
    return None


def _directly_mapped(region: RuntimeRegion) -> bool:
    aligned = region.virt_addr % PAGE_SIZE == 0
    extent = region.virtual_extent
    return aligned and any(low <= extent.start <= extent.end < high for low, high in _DIRECT_MAPS)


def _asks_for_old_map(snapshot: Snapshot) -> bool:
    """Whether a region without a mapping may be one that ioremap() failed for."""
    return "old_map" in efi_options(snapshot.kernel.cmdline or "")


def _descriptor_version(snapshot: Snapshot) -> str | None:
    """The firmware's memory descriptors have a version other than 1."""
    params = snapshot.boot_params
    if params is None or params.efi_info.signature != SIGNATURE_64:
        return None
    version = params.efi_info.memdesc_version
    if version in (0, DESCRIPTOR_VERSION):  # 0 is no version, but a field that nobody filled in
        return None
    return f"The firmware's memory descriptors have version {version}; Linux knows version 1 alone."


REASONS: tuple[Reason, ...] = (
    Reason("xen", "Xen's own kexec replaces the hypervisor: boot without Xen to use this.", _xen),
    Reason(
        "other-architecture",
        "Nothing to do: load the next kernel with kexec_file_load(2), as kexec -s does.",
        _other_architecture,
    ),
    Reason("efi-hidden", "Ask on the host, outside the container.", _hidden),
    Reason(
        "not-uefi",
        "If the machine has UEFI, switch off its BIOS (CSM) compatibility and boot again; "
        "the kernel's log says whether it tried to set EFI up.",
        _not_uefi,
    ),
    Reason(
        "firmware-32-bit",
        "Boot the next kernel through the firmware, or use kexec without EFI.",
        _firmware_32_bit,
    ),
    Reason(
        "runtime-services-off",
        "Remove noefi and efi=noruntime from the kernel's command line.",
        _runtime_services_off,
    ),
    Reason("realtime-kernel", "Boot with efi=runtime to have them.", _realtime_kernel),
    Reason(
        "no-runtime-map",
        "Look for efi in the kernel's log, at /proc/cmdline and at the kernel's configuration; "
        "boot with efi=runtime where CONFIG_EFI_DISABLE_RUNTIME is set.",
        _no_runtime_map,
    ),
    Reason(
        "no-runtime-regions",
        "Report this to the machine's vendor: its firmware has no runtime services to keep.",
        _no_runtime_regions,
    ),
    Reason("efi-old-map", "Boot without efi=old_map.", _efi_old_map),
    Reason("descriptor-version", "Report this to the machine's vendor.", _descriptor_version),
)
"""All reasons, in the order in which they are looked at: the first that holds is given."""
