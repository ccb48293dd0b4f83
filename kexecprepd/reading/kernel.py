# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the running system allows of kexec, and how this kernel itself was started.

Sources: kernel/kexec_core.c, security/lockdown/lockdown.c, arch/x86/include/uapi/asm/bootparam.h.
"""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from ..abi.bootparam import SECURE_BOOT_MODES
from ..abi.setup_data import SETUP_EFI
from ..core.origin import Origin, StartedBy, origin
from ..core.receipt import Receipt, Unusable
from .small import text_or_none
from .sysfs import read_boot_params, read_setup_data, read_systab
from .tree import ReadError, Tree

T = TypeVar("T")

_LOCKDOWN = re.compile(r"\[([a-z]+)\]")


@dataclass(frozen=True, slots=True)
class System:
    """What /proc and /sys say; None where they do not tell.

    Limits are numbers of loads that are left, -1 for any number. `secure_boot` is what the boot
    loader told this kernel; `handed_efi` whether it was handed a SETUP_EFI node, and
    `handed_regions` how many memory descriptors with it.
    """

    has_kexec: bool | None
    kernel_loaded: bool | None
    crash_kernel_loaded: bool | None
    load_disabled: bool | None
    load_limit_reboot: int | None
    load_limit_panic: int | None
    lockdown: str | None
    secure_boot: str | None
    five_level_paging: bool | None
    started_by_kexec: bool | None
    handed_efi: bool
    handed_regions: int | None
    acpi_rsdp: str | None

    @property
    def is_empty(self) -> bool | None:
        """Whether no kernel is loaded, as none is without kexec; None where that is not known."""
        if self.kernel_loaded is not None:
            return not self.kernel_loaded
        return True if self.has_kexec is False else None


def read_system(root: Path) -> System:
    """Look below `root`. What cannot be read is None: none of it decides on the map, and an old
    kernel, or one without some option, does not have all of it.
    """
    lockdown = _LOCKDOWN.search(text_or_none(root / "sys/kernel/security/lockdown") or "")
    cpuinfo = text_or_none(root / "proc/cpuinfo")
    params = _or_none(root, read_boot_params)
    nodes = _or_none(root, read_setup_data) or ()
    handed_efi = any(node.type == SETUP_EFI for node in nodes)
    started_by = origin(params, nodes).started_by
    tables = dict(_or_none(root, read_systab) or ())
    loaded = _flag(root / "sys/kernel", "kexec_loaded", "kexec/loaded")
    # Neither a recording of /sys alone nor a system without /sys tells.
    live = os.path.isdir(root / "proc") and os.path.isdir(root / "sys/kernel")
    return System(
        has_kexec=loaded is not None if live else None,
        kernel_loaded=loaded,
        crash_kernel_loaded=_flag(root / "sys/kernel", "kexec_crash_loaded", "kexec/crash_loaded"),
        load_disabled=_flag(root / "proc/sys/kernel", "kexec_load_disabled"),
        load_limit_reboot=_number(root / "proc/sys/kernel/kexec_load_limit_reboot"),
        load_limit_panic=_number(root / "proc/sys/kernel/kexec_load_limit_panic"),
        lockdown=lockdown[1] if lockdown else None,
        secure_boot=SECURE_BOOT_MODES.get(params.secure_boot) if params else None,
        five_level_paging=None if cpuinfo is None else bool(re.search(r"\bla57\b", cpuinfo)),
        started_by_kexec=None if started_by is StartedBy.UNKNOWN else started_by is StartedBy.KEXEC,
        handed_efi=handed_efi,
        handed_regions=(
            params.efi_info.memmap_size // params.efi_info.memdesc_size
            if params and params.efi_info.memdesc_size and handed_efi
            else None
        ),
        acpi_rsdp=(
            "boot_params"
            if params and params.acpi_rsdp
            else next((name for name in ("ACPI20", "ACPI") if tables.get(name)), None)
        ),
    )


def read_origin(root: Path, kept: Receipt | Unusable | None = None) -> Origin:
    """How this kernel was started, as far as sysfs tells, and what was `kept` for it."""
    nodes = _or_none(root, read_setup_data) or ()
    return origin(_or_none(root, read_boot_params), nodes, kept)


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why a system call will be refused, whoever asks: a stable code, and the end of a sentence."""

    code: str
    words: str


def system_of(root: Path) -> System:
    """`read_system`, for a verdict: a tree of another system that says nothing of kexec may be a
    recording that left it out, and does not count as a kernel without kexec.
    """
    system = read_system(root)
    return system if root == Path("/") else replace(system, has_kexec=system.has_kexec or None)


def load_obstacle(system: System) -> Obstacle | None:
    """Why kexec_load(2) will be refused; None where nothing speaks against it."""
    if signed_only(system):
        locked = Obstacle("locked-down", f"the kernel is locked down ({system.lockdown})")
        return file_load_obstacle(system) or locked
    return file_load_obstacle(system)


def file_load_obstacle(system: System) -> Obstacle | None:
    """Why kexec_file_load(2) will be refused; None where nothing speaks against it.

    A kernel that is locked down does not refuse it, but checks signatures then.
    """
    if system.has_kexec is False:
        return Obstacle("no-kexec", "this kernel was built without kexec")
    if system.load_disabled:
        words = "kernel.kexec_load_disabled is 1, until the next boot"
        return Obstacle("load-disabled", words)
    if system.load_limit_reboot == 0:
        words = "kernel.kexec_load_limit_reboot is 0: no loads are left"
        return Obstacle("no-loads-left", words)
    return None


def signed_only(system: System) -> bool:
    """Whether kexec_file_load(2), where the kernel packs EFI itself, takes signed kernels only."""
    return system.lockdown not in (None, "none")


def _or_none(root: Path, read: Callable[[Tree], T]) -> T | None:
    try:
        with Tree.open(root / "sys") as tree:
            return read(tree)
    except ReadError:
        return None  # for root alone, or not there: systab is without EFI


def _number(path: Path) -> int | None:
    text = (text_or_none(path) or "").strip()
    return int(text) if re.fullmatch(r"-?[0-9]{1,20}", text) else None


def _flag(top: Path, *names: str) -> bool | None:
    numbers = (_number(top / name) for name in names)
    return next((bool(number) for number in numbers if number is not None), None)
