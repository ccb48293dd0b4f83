# SPDX-License-Identifier: LGPL-2.1-or-later
"""Tells the systems that have nothing to hand over, each in its own words."""

from ..abi.bootparam import SIGNATURE_64, SIGNATURE_XEN
from ..abi.efi import DESCRIPTOR_VERSION, KERNEL_HALF, VA_END, VA_START
from .finding import Finding, Severity
from .snapshot import KernelTraits, Snapshot


def unsupported(snapshot: Snapshot) -> Finding | None:
    """Why there is no runtime map to hand over on this system; None where there is one.

    The finding has severity info: nothing is wrong, there is just nothing to be done.
    """
    signature = snapshot.boot_params.efi_info.signature if snapshot.boot_params else b""
    under_xen = snapshot.kernel.hypervisor == "xen"
    if signature == SIGNATURE_XEN or (
        under_xen and snapshot.efi is not None and snapshot.runtime_map is None
    ):
        return _finding(
            "xen",
            "Linux runs under Xen here, which keeps the EFI runtime services to itself.",
            "Xen's own kexec replaces the hypervisor: boot without Xen to use this.",
        )
    if snapshot.efi is None:
        return _finding(
            "not-uefi",
            "This system was not booted through UEFI: there is no EFI to hand over.",
            "If the machine has UEFI, switch off its BIOS (CSM) compatibility and boot again.",
        )
    if snapshot.efi.fw_platform_size == 32:
        return _finding(
            "firmware-32-bit",
            "The firmware is 32-bit under a 64-bit kernel (mixed mode), "
            "where the kernel cannot hand EFI over.",
            "Boot the next kernel through the firmware, or use kexec without EFI.",
        )
    if snapshot.runtime_map is None:
        return _no_runtime_map(snapshot.kernel)
    if not snapshot.runtime_regions:
        return _finding(
            "no-runtime-regions",
            "The kernel's runtime map holds no region with the RUNTIME attribute.",
            "Report this to the machine's vendor: its firmware has no runtime services to keep.",
        )
    if _has_old_map(snapshot):
        return _finding(
            "efi-old-map",
            "The kernel mapped EFI outside the x86-64 EFI window (efi=old_map), "
            "at addresses that no other kernel can use.",
            "Boot without efi=old_map.",
        )
    params = snapshot.boot_params
    if (
        params
        and signature == SIGNATURE_64
        and params.efi_info.memdesc_version != DESCRIPTOR_VERSION
    ):
        return _finding(
            "descriptor-version",
            f"The firmware's memory descriptors have version "
            f"{params.efi_info.memdesc_version}; Linux knows version 1 alone.",
            "Report this to the machine's vendor.",
        )
    return None


def _no_runtime_map(kernel: KernelTraits) -> Finding:
    option = runtime_off_option(kernel.cmdline)
    if option is not None:
        return _finding(
            "runtime-services-off",
            f"The kernel was booted with {option}, which switches the EFI runtime services off.",
            f"Remove {option} from the kernel's command line.",
        )
    if kernel.realtime and "runtime" not in efi_options(kernel.cmdline or ""):
        return _finding(
            "realtime-kernel",
            "This is a real-time kernel, which leaves the EFI runtime services off.",
            "Boot with efi=runtime to have them.",
        )
    if kernel.cmdline is None:
        return _finding(
            "no-runtime-map",
            "The kernel shows no runtime map: it was booted with noefi or efi=noruntime, "
            "is a real-time kernel, or was built without CONFIG_EFI_RUNTIME_MAP.",
            "Look at /proc/cmdline and at the kernel's configuration.",
        )
    return _finding(
        "no-runtime-map",
        "The kernel shows no runtime map, though EFI is on: "
        "it was built without CONFIG_EFI_RUNTIME_MAP.",
        "Use a kernel with CONFIG_EFI_RUNTIME_MAP=y.",
    )


def runtime_off_option(cmdline: str | None) -> str | None:
    """The command-line option that switches the runtime services off: noefi or efi=noruntime.

    The kernel takes the words in turn, and efi=runtime takes either back: parse_efi_cmdline() in
    drivers/firmware/efi/efi.c.
    """
    off = None
    for word in (cmdline or "").split():
        if word == "noefi":
            off = "noefi"
        elif word.startswith("efi="):
            options = efi_options(word)
            if "noruntime" in options:
                off = off or "efi=noruntime"
            if "runtime" in options:
                off = None
    return off


def efi_options(cmdline: str) -> list[str]:
    """The values of every efi= on a kernel command line, in their order."""
    words = (word.partition("=") for word in cmdline.split())
    return [option for name, _, value in words if name == "efi" for option in value.split(",")]


def _has_old_map(snapshot: Snapshot) -> bool:
    """Whether the addresses are those of efi=old_map; kernels since 5.15 ignore the option."""
    regions = snapshot.runtime_regions
    if any(VA_END <= region.virt_addr < VA_START for region in regions):
        return False
    asked_for = "old_map" in efi_options(snapshot.kernel.cmdline or "")
    return asked_for or all(region.virt_addr >= KERNEL_HALF for region in regions)


def _finding(code: str, message: str, hint: str) -> Finding:
    return Finding(Severity.INFO, code, message, hint)
