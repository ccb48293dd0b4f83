# SPDX-License-Identifier: LGPL-2.1-or-later
"""Reads what matters to a kexec beside the maps: what kind of guest, the firmware's variables, KHO.

Sources: arch/x86/coco (tdx_guest in /proc/cpuinfo, /sys/devices/system/cpu/sev), drivers/virt/coco
(their devices), fs/efivarfs/file.c, kernel/liveupdate (kho=, /dev/liveupdate, its debugfs), UEFI
Specification 2.10, section 3.3 and 8.5.4; LoaderEntryOneShot: systemd's Boot Loader Interface.
"""

import os
import re
from pathlib import Path

from ..core.surroundings import Surroundings
from .kernel import System, signed_only
from .small import contents, text_or_none

_EFIVARS = "sys/firmware/efi/efivars"
_GLOBAL = "8be4df61-93ca-11d2-aa0d-00e098032b8c"
_LOADER = "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"
_ATTRIBUTES = 4
"""Bytes that efivarfs puts before a variable's value."""
_LIMIT = 1 << 16
"""Bytes, far above any of the values."""

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
        os_indications=int.from_bytes(_variable(root, "OsIndications")[:8], "little"),
        boot_next=bool(_variable(root, "BootNext")),
        loader_entry=bool(_variable(root, "LoaderEntryOneShot", _LOADER)),
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
    value = _variable(root, "SecureBoot")
    return value == b"\x01" if value else None


def _handover(root: Path) -> bool:
    told = _KHO.findall(text_or_none(root / "proc/cmdline") or "")
    devices = ("dev/liveupdate", "sys/kernel/debug/kho/out")
    # The kernel has these only where it is on; the second is for root alone.
    return bool(told and _TRUE.match(told[-1])) or any(os.path.exists(root / d) for d in devices)


def _variable(root: Path, name: str, vendor: str = _GLOBAL) -> bytes:
    """An EFI variable's value; empty where there is none, as none can be."""
    try:
        return contents(root / _EFIVARS / f"{name}-{vendor}", _LIMIT)[_ATTRIBUTES:]
    except OSError:
        return b""
