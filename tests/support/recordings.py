# SPDX-License-Identifier: LGPL-2.1-or-later
"""Trees to read in place of /: recorded ones, ones of published machines, and damage done to them.

Paths are relative to the tree's top: `sys/firmware/efi/systab`, `proc/cmdline`. Every edit is one
rename, so that a daemon that watches the tree never meets half of it, and so that what the tree
shares with others (see template.py) stays as it was.
"""

import base64
import json
import os
import shutil
import stat
import struct
import tempfile
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from .scratch import is_beside, scratch
from .template import Template

DATA = Path(__file__).parents[1] / "data"

BOOT_ID = "0f6ab6d0-5b1d-4c5e-9a3e-7f2c1d8e4b90"
"""The boot id of every tree that has a proc/."""

FIRST_KERNEL = "deb12-6.1-ovmf-q35-6g"
FIRST_KERNEL_1G = "deb12-6.1-ovmf-q35-1g"
BGRT = "deb12-6.1-ovmf-q35-bgrt"
BGRT_KEXEC_FILE = "deb12-6.1-ovmf-q35-bgrt-kexec-file"
EFI_DEBUG = "deb12-6.1-ovmf-q35-efidebug"
KEXEC_FILE = "deb12-6.1-ovmf-q35-kexec-file"
KEXEC_SYSCALL = "deb12-6.1-ovmf-q35-kexec-syscall"
NO_RUNTIME = "deb12-6.1-ovmf-q35-noruntime"
MIXED_MODE = "deb12-6.1-ovmf32-mixed"
ARM64 = "deb12-6.1-aavmf-arm64"

HEALTHY = (
    FIRST_KERNEL,
    FIRST_KERNEL_1G,
    BGRT,
    BGRT_KEXEC_FILE,
    EFI_DEBUG,
    KEXEC_FILE,
    KEXEC_SYSCALL,
)
"""The recordings that have something to hand over."""

MACHINES = tuple(sorted(path.stem for path in (DATA / "machines").glob("*.json")))
"""Every published machine, `partial-` and `neg-` ones among them."""

EFI = "sys/firmware/efi"
RUNTIME_MAP = f"{EFI}/runtime-map"
MEMMAP = "sys/firmware/memmap"
BOOT_PARAMS = "sys/kernel/boot_params/data"
SETUP_DATA = "sys/kernel/boot_params/setup_data"
MEMORY_BLOCKS = "sys/devices/system/memory"

RUNTIME_DATA = 6
ATTRIBUTES = ("type", "phys_addr", "virt_addr", "num_pages", "attribute")

E820_ENTRIES = 128
"""How many entries struct boot_params holds; the rest goes into a SETUP_E820_EXT node."""

_VA_START = 0xFFFF_FFFF_0000_0000
_2_MIB = 2 << 20


def materialise(name: str, top: Path, cmdline: bool = True) -> Path:
    """Put a recording into the empty `top`; with `cmdline` also the proc/ that belongs to it."""
    top.mkdir(parents=True, exist_ok=True)
    _template(name, cmdline, is_beside(top)).put(top)
    return top


def mend(name: str, top: Path) -> Path:
    """Undo everything that was done to a recording since it was put there; anything else goes."""
    _template(name, True, is_beside(top)).mend(top)
    return top


@cache
def _template(name: str, cmdline: bool, beside: bool) -> Template:
    where = scratch() if beside else tempfile.gettempdir()
    return Template(lambda top: _write_recording(name, top, cmdline), where)


def _write_recording(name: str, top: Path, cmdline: bool) -> None:
    meta, files = _recording(name)
    for directory in {(top / path).parent for path, _, _ in files}:
        directory.mkdir(parents=True, exist_ok=True)
    for path, content, mode in files:
        (top / path).write_bytes(content)
        (top / path).chmod(mode)
    if cmdline:
        write(top, "proc/cmdline", meta["cmdline"] + "\n")
        write(top, "proc/version", f"Linux version {meta['uname']}\n")
        write(top, "proc/sys/kernel/random/boot_id", BOOT_ID + "\n")


def content(name: str, path: str) -> bytes:
    """A file of a recording."""
    return next(content for each, content, _ in _recording(name)[1] if each == path)


@cache
def _recording(name: str) -> tuple[dict[str, Any], tuple[tuple[str, bytes, int], ...]]:
    """A recording's `_meta`, and path, content and mode of each file."""
    recording = json.loads((DATA / "recordings" / f"{name}.json").read_text())
    meta = recording.pop("_meta")
    return meta, tuple(
        (f"sys/{path}", base64.b64decode(file["base64"]), int(file["mode"], 8))
        for path, file in recording.items()
    )


def machine(name: str) -> dict[str, Any]:
    """What was published of a machine."""
    content: dict[str, Any] = json.loads((DATA / "machines" / f"{name}.json").read_text())
    return content


def materialise_machine(name: str, top: Path, efi_debug: bool = False) -> Path:
    """Write a published machine below `top`, without proc/ but for efi=debug.

    The memory map and the runtime map are the machine's (with `efi_debug` the longer runtime map
    that efi=debug showed on it, and the command line that says so). Made up are: the files efi/*
    and boot_params/data, whose tables lie in the first region of RuntimeServicesData (in the first
    of all where there is none) unless their addresses were published, and virtual addresses where
    none were published, which are assigned as the kernel does.
    """
    published = machine(name)
    bits = "32" if published.get("mixed_mode") else "64"
    regions = published["runtime_map_efi_debug" if efi_debug else "runtime_map"]
    next_virt = _VA_START
    for region in regions:
        if region["virt_addr"] is None:
            next_virt = _assign(next_virt, _number(region["phys_addr"]), region["num_pages"])
            region["virt_addr"] = next_virt
        add_region(top, **{key: _number(region[key]) for key in ATTRIBUTES})
    (top / MEMMAP).mkdir(parents=True)
    for entry in published["memmap"]:
        add_range(top, _number(entry["start"]), _number(entry["end"]), entry["type"])

    data = [region for region in regions if region["type"] == RUNTIME_DATA]
    tables = _number((data or regions)[0]["phys_addr"])
    write(top, f"{EFI}/fw_platform_size", f"{bits}\n")
    names = ("systab", "fw_vendor", "runtime", "config_table", "acpi20", "smbios")
    at = {name: tables + 0x10 * n for n, name in enumerate(names)}
    at |= {name: _number(address) for name, address in published.get("tables", {}).items()}
    for name in ("fw_vendor", "runtime", "config_table"):
        write(top, f"{EFI}/{name}", f"{at[name]:#x}\n")
    systab = f"ACPI20={at['acpi20']:#x}\nSMBIOS={at['smbios']:#x}\n"
    write(top, f"{EFI}/systab", systab, 0o400)
    low, high = at["systab"] & 0xFFFF_FFFF, at["systab"] >> 32
    efi_info = struct.pack("<4s7I", b"EL" + bits.encode(), low, 48, 1, 0x1000, 48 * 99, high, 0)
    write(top, BOOT_PARAMS, efi_info.rjust(0x1C0 + 32, b"\0").ljust(4096, b"\0"))
    if efi_debug:
        write(top, "proc/cmdline", "efi=debug\n")
    return top


def _assign(below: int, phys_addr: int, num_pages: int) -> int:
    """The highest virtual address below another that keeps the offset within 2 MiB."""
    virt = below - num_pages * 4096
    return virt - (virt - phys_addr) % _2_MIB


def _number(value: str | int) -> int:
    return value if isinstance(value, int) else int(value, 16)


def write(root: Path, path: str, content: str | bytes, mode: int | None = None) -> None:
    """Make or replace a file; it keeps its mode unless another is given."""
    target = root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    if mode is None:
        mode = stat.S_IMODE(target.stat().st_mode) if target.exists() else 0o444
    fd, new = tempfile.mkstemp(dir=root)
    with open(fd, "wb") as file:
        file.write(content.encode() if isinstance(content, str) else content)
        os.fchmod(file.fileno(), mode)
    os.replace(new, target)


def patch(root: Path, path: str, offset: int, content: bytes) -> None:
    """Overwrite bytes within a file."""
    old = (root / path).read_bytes()
    write(root, path, old[:offset] + content + old[offset + len(content) :])


def remove(root: Path, path: str) -> None:
    """Take away a file, or a directory with all that is in it."""
    attic = Path(tempfile.mkdtemp(dir=root))
    (root / path).rename(attic / "removed")
    shutil.rmtree(attic)


def set_region(root: Path, number: int, **attributes: int) -> None:
    """Change attributes of a runtime region."""
    for name, value in attributes.items():
        assert name in ATTRIBUTES
        write(root, f"{RUNTIME_MAP}/{number}/{name}", f"{value:#x}\n")


def add_region(
    root: Path, *, type: int, phys_addr: int, virt_addr: int, num_pages: int, attribute: int
) -> int:
    """Add a runtime region after the last one; its number."""
    values = (type, phys_addr, virt_addr, num_pages, attribute)
    texts = {name: f"{value:#x}\n" for name, value in zip(ATTRIBUTES, values, strict=True)}
    return _add_directory(root, RUNTIME_MAP, texts, 0o400)


def add_range(root: Path, start: int, end: int, type: str) -> int:
    """Plug a memory range in, as memory hotplug would; `end` is inclusive. Its number."""
    texts = {"start": f"{start:#x}\n", "end": f"{end:#x}\n", "type": f"{type}\n"}
    return _add_directory(root, MEMMAP, texts, 0o444)


def set_range(root: Path, number: int, **values: int | str) -> None:
    """Change start, end or type of a memory range."""
    for name, value in values.items():
        text = value if isinstance(value, str) else f"{value:#x}"
        write(root, f"{MEMMAP}/{number}/{name}", f"{text}\n")


def set_e820(root: Path, entries: Iterable[tuple[int, int, int]]) -> None:
    """Make (start, size, type) the memory map at boot: boot_params, and a node for the rest."""
    packed = [struct.pack("<QQI", *entry) for entry in entries]
    inline, more = packed[:E820_ENTRIES], packed[E820_ENTRIES:]
    patch(root, BOOT_PARAMS, 0x1E8, bytes([len(inline)]))
    patch(root, BOOT_PARAMS, 0x2D0, b"".join(inline).ljust(20 * E820_ENTRIES, b"\0"))
    if more:
        add_setup_data(root, 1, b"".join(more))


def add_setup_data(root: Path, type: int, payload: bytes) -> None:
    """Add a node to the setup_data list that this kernel was handed."""
    top = root / SETUP_DATA
    number = len(list(top.iterdir())) if top.exists() else 0
    write(root, f"{SETUP_DATA}/{number}/type", f"{type:#x}\n")
    write(root, f"{SETUP_DATA}/{number}/data", payload)


def set_memory_blocks(root: Path, size: int, numbers: Iterable[int]) -> None:
    """Make exactly these blocks of memory present."""
    if (root / MEMORY_BLOCKS).exists():
        remove(root, MEMORY_BLOCKS)
    write(root, f"{MEMORY_BLOCKS}/block_size_bytes", f"{size:x}\n")
    for number in numbers:
        write(root, f"{MEMORY_BLOCKS}/memory{number}/state", "online\n")


def _add_directory(root: Path, top: str, files: dict[str, str], mode: int) -> int:
    (root / top).mkdir(parents=True, exist_ok=True)
    number = max(map(int, os.listdir(root / top)), default=-1) + 1
    new = Path(tempfile.mkdtemp(dir=root))
    new.chmod(0o755)
    for name, text in files.items():
        with open(f"{new}/{name}", "w") as file:
            file.write(text)
            os.fchmod(file.fileno(), mode)
    new.rename(root / top / str(number))
    return number
