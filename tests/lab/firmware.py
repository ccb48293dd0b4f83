# SPDX-License-Identifier: LGPL-2.1-or-later
"""The firmware that a virtual machine starts with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Firmware:
    """What the machine starts with: two flash files, or QEMU's own BIOS without any."""

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
SEABIOS = Firmware()
