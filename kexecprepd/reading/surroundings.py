# SPDX-License-Identifier: LGPL-2.1-or-later
"""Reads what matters to a kexec beside the maps: what kind of guest, the firmware's variables, KHO.

Sources: arch/x86/coco (tdx_guest in /proc/cpuinfo, /sys/devices/system/cpu/sev), drivers/virt/coco
(their devices), fs/efivarfs/file.c, kernel/liveupdate (kho=, /dev/liveupdate, its debugfs), UEFI
Specification 2.10, section 3.3 and 8.5.4; LoaderEntryOneShot: systemd's Boot Loader Interface;
next_entry: GRUB's util/grub-reboot.in.
"""

import os
import re
from pathlib import Path

from ..core.surroundings import Surroundings
from .efivars import LOADER, number, variable
from .kernel import System, signed_only
from .small import text_or_none

_GRUB_ENVIRONMENTS = ("boot/grub/grubenv", "boot/grub2/grubenv")
_NEXT_ENTRY = re.compile(r"^next_entry=.", re.MULTILINE)

_KHO = re.compile(r"(?:^|\s)kho=(\S*)")
_TRUE = re.compile(r"[yYtT1]|[oO][nN]")
"""What kstrtobool() takes for true, in lib/kstrtox.c."""


def read_surroundings(root: Path, system: System) -> Surroundings:
    """Look below `root`; `system` is what it says of kexec. Nothing is an error: what cannot be
    read is not there, or is not for this user.
    """
    return Surroundings(
        guest=_guest(root),
        secure_boot=_secure_boot(root, system),
        secure_boot_lost=system.secure_boot == "unset" and bool(system.started_by_kexec),
        signed_only=signed_only(system),
        handover=_handover(root),
        os_indications=number(root, "OsIndications") or 0,
        boot_next=variable(root, "BootNext") is not None,
        loader_entry=variable(root, "LoaderEntryOneShot", LOADER) is not None or _next_entry(root),
    )


def _guest(root: Path) -> str | None:
    flags = re.search(r"^flags\s*:(.*)$", text_or_none(root / "proc/cpuinfo") or "", re.MULTILINE)
    told = flags is not None and "tdx_guest" in flags[1].split()
    if told or os.path.exists(root / "dev/tdx_guest"):
        return "TDX"
    # The flag sev_snp is the host's as well.
    if any(os.path.exists(root / each) for each in ("sys/devices/system/cpu/sev", "dev/sev-guest")):
        return "SEV-SNP"
    return None


def _secure_boot(root: Path, system: System) -> bool | None:
    if system.secure_boot in ("enabled", "disabled"):
        return system.secure_boot == "enabled"
    value = variable(root, "SecureBoot")
    return None if value is None else value == b"\x01"


def _handover(root: Path) -> bool:
    told = _KHO.findall(text_or_none(root / "proc/cmdline") or "")
    devices = ("dev/liveupdate", "sys/kernel/debug/kho/out")
    # The kernel has these only where it is on; the second is for root alone.
    return bool(told and _TRUE.match(told[-1])) or any(os.path.exists(root / d) for d in devices)


def _next_entry(root: Path) -> bool:
    return any(_NEXT_ENTRY.search(text_or_none(root / each) or "") for each in _GRUB_ENVIRONMENTS)
