# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the environment says of guests: the variables KEXECPREPD_VM_*, each read in one place."""

from __future__ import annotations

import os
from pathlib import Path


def accelerator() -> str:
    """QEMU's -accel: $KEXECPREPD_VM_ACCEL, else emulation in software.

    KVM is not tried by itself: a /dev/kvm that is there need not be one that works.

    tb-size is in MiB. A write to a page of which there is translated code, however old, takes
    microseconds: with QEMU's own size, 1024, a kexec spent 16 s in copying its kernel.
    """
    return os.environ.get("KEXECPREPD_VM_ACCEL", "tcg,thread=multi,tb-size=128")


def accelerated() -> bool:
    """Whether guests have a processor of their own, so that they are fast."""
    return accelerator().startswith("kvm")


def cache_dir() -> Path:
    """Where images are kept, for every checkout: $KEXECPREPD_VM_CACHE, else below ~/.cache."""
    override = os.environ.get("KEXECPREPD_VM_CACHE")
    if override:
        return Path(override).absolute()
    caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(caches).absolute() / "kexecprepd" / "vm"


def console_log(name: str) -> Path | None:
    """Where to keep a guest's console output: in $KEXECPREPD_VM_LOGS, if that is set."""
    folder = os.environ.get("KEXECPREPD_VM_LOGS")
    if not folder:
        return None
    Path(folder).mkdir(parents=True, exist_ok=True)
    return Path(folder).absolute() / f"{name}.log"
