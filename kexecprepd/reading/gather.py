# SPDX-License-Identifier: LGPL-2.1-or-later
"""Gathers all files of a machine that an answer depends on, to be read again elsewhere."""

import errno
import os
import re
from pathlib import Path

from ..abi.setup_data import (
    SETUP_APPLE_PROPERTIES,
    SETUP_E820_EXT,
    SETUP_EFI,
    SETUP_KEXP,
    SETUP_PCI,
)
from ..core.recording import BOOT_PARAMS, EFIVARS, NAME, SETUP_DATA
from ..core.unreadable import UNSTABLE, Unreadable
from . import efivars, small
from .firmware import tables_line
from .tree import ReadError, unreadable

LIMIT = 16 << 20
"""Bytes of all files together: a machine has less than one MiB, and one with as many regions and
memory blocks as there can be a few.
"""

_PASSES = 10
_NOBODYS = "This is no machine's: say what it is."

_EFI = "sys/firmware/efi"
_MEMORY = "sys/devices/system/memory"

_FILES = (
    *(f"{_EFI}/{name}" for name in ("fw_platform_size", "fw_vendor", "runtime", "config_table")),
    f"{_EFI}/systab",
    f"{_MEMORY}/block_size_bytes",
    f"{BOOT_PARAMS}/data",
    "sys/kernel/realtime",
    "sys/hypervisor/type",
    "sys/kernel/security/lockdown",
    "sys/kernel/kexec_loaded",
    "sys/kernel/kexec_crash_loaded",
    "sys/kernel/kexec/loaded",
    "sys/kernel/kexec/crash_loaded",
    "proc/cmdline",
    "proc/version",
    "proc/iomem",
    "proc/sys/kernel/kexec_load_disabled",
    "proc/sys/kernel/kexec_load_limit_reboot",
    "proc/sys/kernel/kexec_load_limit_panic",
    "proc/sys/kernel/osrelease",
    "proc/sys/kernel/random/boot_id",
    *(f"{EFIVARS}/{name}-{efivars.GLOBAL}" for name in ("SecureBoot", "OsIndications", "BootNext")),
    f"{EFIVARS}/LoaderEntryOneShot-{efivars.LOADER}",
)

_FOLDERS = (f"{_EFI}/runtime-map", "sys/firmware/memmap")
"""Folders of numbered ones, in which each file counts."""

_MARKS = (
    "sys/firmware/acpi",
    "sys/firmware/acpi/bgrt",
    "sys/firmware/dmi",
    "sys/firmware/dmi/tables",
    "sys/class/dmi",
    "sys/class/dmi/id",
    f"{_EFI}/esrt",
    f"{_EFI}/mok-variables",
    f"{_EFI}/vars",
    EFIVARS,
    "sys/devices/system/cpu/sev",
    "sys/kernel/debug/kho/out",
    "dev/liveupdate",
    "dev/sev-guest",
    "dev/tdx_guest",
)
"""What says enough by being there; as empty folders."""

_KEPT = {
    b"%#x\n" % kind
    for kind in (SETUP_E820_EXT, SETUP_PCI, SETUP_EFI, SETUP_APPLE_PROPERTIES, SETUP_KEXP)
}
"""The nodes whose data is read; others can be secret, as the seed of random numbers is."""

_FLAGS = re.compile(rb"^flags\s*:.*\n", re.MULTILINE)
_SCREEN = re.compile(r"fb[0-9]+|card[0-9]+")
_BLOCK = re.compile(r"memory[0-9]+")


def gather(root: Path) -> dict[str, bytes | None]:
    """Every file that there is below `root`, by its path, and None for each folder; sorted.

    It is read until two passes agree, as memory may be unplugged meanwhile. Raises ReadError.
    """
    previous: dict[str, bytes | None] | None = None
    for _ in range(_PASSES):
        current = _gather(root)
        if current == previous:
            return current
        previous = current
    hint = "Try again when no memory and no devices are being plugged."
    problem = f"no two of {_PASSES} passes over it agreed"
    raise ReadError(Unreadable(UNSTABLE, str(root), problem, hint, transient=True))


def _gather(root: Path) -> dict[str, bytes | None]:
    found: dict[str, bytes | None] = {}
    for path in _FILES:
        _take(root, path, found)
    for top in _FOLDERS:
        for number in _names(root, top, found):
            for name in _names(root, f"{top}/{number}", found):
                _take(root, f"{top}/{number}/{name}", found)
    for number in _names(root, SETUP_DATA, found):
        _take(root, f"{SETUP_DATA}/{number}/type", found)
        if found.get(f"{SETUP_DATA}/{number}/type") in _KEPT:
            _take(root, f"{SETUP_DATA}/{number}/data", found)
    blocks = _names(root, _MEMORY, found)
    found.update({f"{_MEMORY}/{name}": None for name in blocks if _BLOCK.fullmatch(name)})
    for top in ("sys/class/graphics", "sys/class/drm"):
        for name in filter(_SCREEN.fullmatch, _names(root, top, found)):
            found[f"{top}/{name}"] = None
            _take(root, f"{top}/{name}/name", found)
    found.update({path: None for path in _MARKS if os.path.exists(root / path)})
    _take_parts(root, found)
    if sum(len(content or b"") for content in found.values()) > LIMIT:
        error = OSError(errno.EFBIG, f"more than {LIMIT} bytes")
        raise unreadable("sysfs-malformed", root, error, _NOBODYS)
    return dict(sorted(found.items()))


def _take_parts(root: Path, found: dict[str, bytes | None]) -> None:
    """Of two files the one line that is read: the others tell of much else."""
    try:
        flags = _FLAGS.search(small.contents(root / "proc/cpuinfo"))
    except OSError:
        flags = None
    if flags is not None:
        found["proc/cpuinfo"] = flags[0]
    line = tables_line(root / "dev/kmsg")
    if line is not None:
        found["dev/kmsg"] = line


def _take(root: Path, path: str, found: dict[str, bytes | None]) -> None:
    """A file, if there is one. One that is not for this user is missed only where it decides."""
    try:
        found[path] = small.contents(root / path)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return
    except PermissionError as error:
        if not path.startswith(("sys/firmware/efi/", "sys/firmware/memmap", BOOT_PARAMS)):
            return
        hint = "Run this as root."
        raise unreadable("sysfs-unreadable", root / path, error, hint) from error
    except OSError as error:
        if path.startswith(EFIVARS):
            return  # the firmware's answer, and nothing that a map depends on
        hint = "If this persists, report it with the kernel's version."
        raise unreadable("sysfs-unreadable", root / path, error, hint) from error


def _names(root: Path, path: str, found: dict[str, bytes | None]) -> list[str]:
    """The names in a folder, which is noted; none where there is no such folder. Raises ReadError
    for one that a recording cannot hold.
    """
    try:
        names = sorted(os.listdir(root / path))
    except OSError:
        return []
    found[path] = None
    for name in names:
        if not NAME.fullmatch(name):
            error = OSError(errno.EINVAL, "no name that the kernel would give")
            raise unreadable("sysfs-malformed", root / path / name, error, _NOBODYS)
    return names
