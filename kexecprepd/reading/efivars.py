# SPDX-License-Identifier: LGPL-2.1-or-later
"""Reads EFI variables from efivarfs, where that is mounted.

Sources: the kernel's Documentation/filesystems/efivarfs.rst, the UEFI specification ("Globally
Defined Variables"), systemd's Boot Loader Interface.
"""

from pathlib import Path

from .small import contents

GLOBAL = "8be4df61-93ca-11d2-aa0d-00e098032b8c"
LOADER = "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"

_DIRECTORY = "sys/firmware/efi/efivars"
_ATTRIBUTES = 4
"""Bytes that stand before a variable's value."""

_LIMIT = 1 << 16


def variable(root: Path, name: str, vendor: str = GLOBAL) -> bytes | None:
    """A variable's value; None where there is no such variable, or it cannot be read."""
    try:
        data = contents(root / _DIRECTORY / f"{name}-{vendor}", _LIMIT)
    except OSError:
        return None
    return data[_ATTRIBUTES:] if len(data) > _ATTRIBUTES else None


def text(root: Path, name: str, vendor: str = LOADER) -> str | None:
    """The same of one that is text: UTF-16 with a NUL at its end."""
    data = variable(root, name, vendor)
    if data is None:
        return None
    return data[: len(data) & ~1].decode("utf-16-le", "replace").partition("\0")[0] or None


def number(root: Path, name: str, vendor: str = GLOBAL) -> int | None:
    """The same of one that is a number, little-endian, of up to 8 bytes."""
    data = variable(root, name, vendor)
    return None if data is None else int.from_bytes(data[:8], "little")
