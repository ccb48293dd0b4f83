# SPDX-License-Identifier: LGPL-2.1-or-later
"""A boot partition for a guest, on a disk of its own: what a test puts there, read-only."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tests.lab.guest import Guest
from tests.lab.image import run_tool

TOP = "/efi"
"""Where a guest has it. It is no FAT, which makes no difference to what reads it."""


def make_partition(disk: Path, files: Mapping[str, bytes]) -> tuple[str, ...]:
    """Make the disk, and return what QEMU is given for it; `files` by their paths on it."""
    top = disk.with_suffix(".d")
    for name, content in files.items():
        path = top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    size = sum(map(len, files.values())) // (1 << 20)
    run_tool(["mke2fs", "-q", "-t", "ext2", "-d", str(top), str(disk), f"{size + size // 8 + 8}M"])
    return ("-drive", f"if=virtio,format=raw,readonly=on,file={disk}")


def mount(guest: Guest) -> None:
    """Mount it, as every kernel has to do again."""
    guest.run(["mkdir", "-p", TOP])
    guest.run(["mount", "-o", "ro", "/dev/vdb", TOP])
