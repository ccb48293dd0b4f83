# SPDX-License-Identifier: LGPL-2.1-or-later
"""The firmware that a virtual machine starts with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Firmware:
    """What the machine starts with: two flash files, or QEMU's own BIOS without any.

    package is Debian's that brings them; secure says that the firmware is built for system
    management mode, without which it does not start.
    """

    code: Path | None = None
    variables: Path | None = None
    package: str = ""
    secure: bool = False


_OVMF_DIR = Path("/usr/share/OVMF")
OVMF = Firmware(_OVMF_DIR / "OVMF_CODE_4M.fd", _OVMF_DIR / "OVMF_VARS_4M.fd", "ovmf")
OVMF32 = Firmware(
    _OVMF_DIR / "OVMF32_CODE_4M.secboot.fd",
    _OVMF_DIR / "OVMF32_VARS_4M.fd",
    "ovmf-ia32",
    secure=True,
)
OVMF_SNAKEOIL = Firmware(
    _OVMF_DIR / "OVMF_CODE_4M.snakeoil.fd",
    _OVMF_DIR / "OVMF_VARS_4M.snakeoil.fd",
    "ovmf",
    secure=True,
)
"""Secure Boot is on, and what `secure_boot.sign` has signed is all that starts."""
SEABIOS = Firmware()
