# SPDX-License-Identifier: LGPL-2.1-or-later
"""Looks at what this kernel has of the firmware: variables, DMI, tables, option ROMs.

Sources: fs/efivarfs, drivers/firmware/dmi-sysfs.c, drivers/acpi/bgrt.c, drivers/firmware/efi/esrt.c
and mokvar-table.c for the paths; drivers/firmware/efi/efi.c for the line in the kernel's log.
"""

import os
import re
from pathlib import Path

from ..abi.setup_data import SETUP_PCI
from ..core.facilities import Firmware
from .sysfs import read_boot_params, read_setup_data
from .tree import ReadError, Tree

_SECURE_BOOT_KNOWN = (2, 3)
"""boot_params.secure_boot, where the boot loader knew the state: disabled, enabled."""

_RECORDS = 1 << 16
"""How many records of the kernel's log are looked at; the line is among the first hundred."""

_RECORD_SIZE = 8192
"""CONSOLE_EXT_LOG_MAX of include/linux/printk.h: no record is longer."""

_TABLES = re.compile(rb";efi: .*\bACPI")
_MEMATTR = re.compile(rb"\bMEMATTR=0x([0-9a-f]+)")
_INVALIDATED = b"f" * 16


def read_firmware(root: Path) -> Firmware:
    """Look below `root`. What cannot be told is None: nothing is decided by it."""
    sys = root / "sys"
    efi = sys / "firmware/efi"
    found: dict[str, bool | None] = {
        "variables": _variables(efi),
        "dmi": _either(_there(sys / "firmware/dmi/tables"), _there(sys / "class/dmi/id")),
        "bgrt": _there(sys / "firmware/acpi/bgrt"),
        "esrt": _there(efi / "esrt"),
        "mok": _there(efi / "mok-variables"),
        "memattr": _memattr(root / "dev/kmsg"),
    }
    return {**found, **_handed(sys)}


def _there(path: Path) -> bool | None:
    """Whether it exists, None where what it would be in does not, as in a recording."""
    if path.exists():
        return True
    return False if path.parent.exists() else None


def _either(one: bool | None, other: bool | None) -> bool | None:
    if one or other:
        return True
    return None if one is None and other is None else False


def _variables(efi: Path) -> bool | None:
    if (efi / "vars").exists():  # kernels before 6.0, where efivarfs need not be mounted
        return True
    try:
        return bool(os.listdir(efi / "efivars"))
    except FileNotFoundError:
        return None if efi.exists() else False
    except OSError:
        return None


def _handed(sys: Path) -> dict[str, bool | None]:
    try:
        with Tree.open(sys) as tree:
            params, nodes = read_boot_params(tree), read_setup_data(tree)
    except ReadError:
        return {"secure-boot": None, "option-roms": None}
    return {
        "secure-boot": params.secure_boot in _SECURE_BOOT_KNOWN if params else None,
        "option-roms": any(node.type == SETUP_PCI for node in nodes) if params else None,
    }


def _memattr(kmsg: Path) -> bool | None:
    """By the line of the kernel's log that lists the tables: sysfs does not tell of this one."""
    line = tables_line(kmsg)
    if line is None:
        return None
    match = _MEMATTR.search(line)
    return bool(match and match[1] != _INVALIDATED)


def tables_line(kmsg: Path) -> bytes | None:
    """The record of the kernel's log that lists EFI's tables; None where it cannot be had: it is
    for root, and the log forgets.
    """
    try:
        fd = os.open(kmsg, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None  # for root alone, or not there
    try:
        for _ in range(_RECORDS):
            try:
                record = os.read(fd, _RECORD_SIZE)
            except BrokenPipeError:
                continue  # overwritten before it was read: the next one is there
            except OSError:
                return None  # the log ends without that line
            # A record begins with its priority; what does not is another device, as in a tree of
            # anybody's making, and may have no end.
            if not record[:1].isdigit():
                return None
            if _TABLES.search(record):
                return record
        return None
    finally:
        os.close(fd)
