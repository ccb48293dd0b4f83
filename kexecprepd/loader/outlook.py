# SPDX-License-Identifier: LGPL-2.1-or-later
"""Foresees what a kernel that is to be started will make of EFI.

Sources: arch/x86/platform/efi/efi.c (kexec_enter_virtual_mode) and quirks.c (efi=old_map, until
Linux 5.15), drivers/firmware/efi/efi.c (noefi, efi=noruntime), drivers/firmware/efi/Kconfig
(EFI_DISABLE_RUNTIME, on by default with PREEMPT_RT).
"""

import re
from dataclasses import dataclass

from ..core.cmdline import efi_options, runtime_off_option
from .bzimage import BzImage

_REALTIME = re.compile(r"\bPREEMPT[_ ]RT\b")
_RELEASE = re.compile(r"(\d{1,9})\.(\d{1,9})")
_WITHOUT_OLD_MAP = (5, 15)


@dataclass(frozen=True, slots=True)
class Loss:
    """Why the next kernel would have no EFI: a stable code, a sentence, and what to do."""

    code: str
    sentence: str
    hint: str


NO_5_LEVEL = Loss(
    "no-5-level",
    "5-level paging is on, and the kernel cannot be entered with that: "
    "XLF_5LEVEL is not in its xloadflags.",
    "Give a kernel built with CONFIG_X86_5LEVEL, or start the running one with no5lvl.",
)
NO_EFI_KEXEC = Loss(
    "no-efi-kexec",
    "The kernel cannot take EFI over: XLF_EFI_KEXEC is not in its xloadflags.",
    "Give a kernel built with CONFIG_EFI and CONFIG_KEXEC_CORE.",
)
_REALTIME_KERNEL = Loss(
    "realtime-kernel",
    "The kernel is a real-time one (PREEMPT_RT), which leaves the EFI runtime services off.",
    "Put efi=runtime on its command line to have them.",
)
_OLD_MAP = Loss(
    "efi-old-map",
    "With efi=old_map a kernel that was started by kexec leaves the EFI runtime services off.",
    "Take efi=old_map off its command line.",
)


def losses(kernel: BzImage, cmdline: str, five_level_paging: bool) -> tuple[Loss, ...]:
    """Everything that keeps EFI's runtime services from a kernel, were it started with `cmdline`.

    `five_level_paging` is whether the running kernel has it on. What the kernel has built in, a
    command line or another default, does not show in its file.
    """
    found = []
    if five_level_paging and not kernel.five_level:
        found.append(NO_5_LEVEL)
    if not kernel.takes_efi:
        found.append(NO_EFI_KEXEC)
    off = runtime_off_option(cmdline)
    if off is not None:
        found.append(_switched_off(off))
    elif _is_realtime(kernel) and "runtime" not in efi_options(cmdline):
        found.append(_REALTIME_KERNEL)
    if "old_map" in efi_options(cmdline) and _release(kernel) < _WITHOUT_OLD_MAP:
        found.append(_OLD_MAP)
    return tuple(found)


def _switched_off(option: str) -> Loss:
    return Loss(
        "runtime-services-off",
        f"The kernel would be started with {option}, which switches the EFI runtime services off.",
        f"Take {option} off its command line.",
    )


def _is_realtime(kernel: BzImage) -> bool:
    return bool(_REALTIME.search(kernel.version_string or ""))


def _release(kernel: BzImage) -> tuple[int, int]:
    """Its version's first two numbers; 0.0 where it names none, as it may be an old one then."""
    found = _RELEASE.match(kernel.version_string or "")
    return (int(found[1]), int(found[2])) if found else (0, 0)
