# SPDX-License-Identifier: LGPL-2.1-or-later
"""Reads sysfs into a Snapshot: strictly, and only when two passes over it agree.

The formats are the kernel's: drivers/firmware/efi/efi.c, arch/x86/platform/efi/runtime-map.c,
drivers/firmware/memmap.c and arch/x86/kernel/ksysfs.c.
"""

import os
import re
from dataclasses import replace
from pathlib import Path

from ..abi import bootparam
from ..abi.bootparam import BootParams, E820Entry, unpack_e820
from ..abi.efi import U32, U64
from ..abi.setup_data import (
    EFI_SETUP_DATA_SIZE,
    SETUP_APPLE_PROPERTIES,
    SETUP_E820_EXT,
    SETUP_EFI,
    SETUP_KEXP,
    SETUP_PCI,
    EfiSetupData,
    unpack_efi_setup_data,
)
from ..core import receipt
from ..core.intervals import Interval
from ..core.receipt import Receipt, Unusable
from ..core.snapshot import (
    EfiTables,
    KernelTraits,
    MemoryBlocks,
    MemoryRange,
    RawNode,
    RuntimeRegion,
    SetupData,
    Snapshot,
)
from ..core.unreadable import UNSTABLE, Unreadable
from . import iomem, proc
from .container import contained
from .tree import ReadError, Tree, unreadable

MAX_PASSES = 10
"""How often sysfs is read at most before a reading is given up as unstable."""

_MAX_PAYLOAD = 1 << 20
"""Far above any payload that is read here, far below what could hurt."""

_FOUR_GIB = 1 << 32

_SYSTAB_LINE = re.compile(r"([A-Z][A-Z0-9]*)=(0x(?:0|[1-9a-f][0-9a-f]*))\n")
_TYPE = re.compile(r"[ -~]{1,64}\n")

_BLOCK = re.compile(r"memory(0|[1-9][0-9]*)")

_RUNTIME_ATTRIBUTES = ("type", "phys_addr", "virt_addr", "num_pages", "attribute")
_MEMMAP_ATTRIBUTES = ("start", "end", "type")


def read_snapshot(root: Path = Path("/"), *, passes: int = MAX_PASSES) -> Snapshot | Unreadable:
    """Read everything below `root`/sys, again and again until two passes in a row agree.

    Memory hot-remove pulls directories away under a reader, and a set of files is consistent
    only if nothing moved between the first and the last: so a reading counts once it repeats,
    be it that something is missing, unreadable or malformed. Where `passes` passes brought no
    agreement, it is unstable.
    """
    reading = _settled(root, passes)
    if isinstance(reading, Unreadable) and reading.denied and contained(root):
        return replace(reading, denied=False, contained=True)
    return reading


def _settled(root: Path, passes: int) -> Snapshot | Unreadable:
    previous: Snapshot | Unreadable | None = None
    for _ in range(passes):
        current = _read_once(root)
        if current == previous:
            return current
        previous = current
    return Unreadable(
        UNSTABLE,
        str(root / "sys/firmware"),
        f"no two of {passes} passes over it agreed",
        "Memory is being plugged or unplugged: ask again when that has settled.",
        transient=True,
    )


def _read_once(root: Path) -> Snapshot | Unreadable:
    try:
        with Tree.open(root / "sys") as tree:
            return _read(root, tree)
    except ReadError as error:
        return error.unreadable


def _read(root: Path, tree: Tree) -> Snapshot:
    unknown: set[str] = set()
    has_runtime_map = tree.is_directory("firmware/efi/runtime-map")
    return Snapshot(
        efi=_read_efi(tree, required=has_runtime_map),
        runtime_map=_read_runtime_map(tree, unknown) if has_runtime_map else None,
        memory_map=_read_memory_map(tree, unknown),
        memory_blocks=_read_memory_blocks(tree),
        boot_params=read_boot_params(tree, required=has_runtime_map),
        setup_data=read_setup_data(tree),
        kernel=_read_kernel(root, tree),
        withheld=_read_withheld(root),
        unknown_attributes=tuple(sorted(unknown)),
    )


def _read_efi(tree: Tree, *, required: bool) -> EfiTables | None:
    top = "firmware/efi"
    names = tree.names(top)
    if names is None:
        return None
    size = tree.text(f"{top}/fw_platform_size")
    if size not in ("32\n", "64\n"):
        raise tree.malformed(f"{top}/fw_platform_size", "32 or 64")

    def value(name: str) -> int | None:
        # The kernel hides these three only where it has no runtime map either.
        return tree.hex(f"{top}/{name}") if required or name in names else None

    return EfiTables(
        fw_platform_size=int(size),
        fw_vendor=value("fw_vendor"),
        runtime=value("runtime"),
        config_table=value("config_table"),
        systab=read_systab(tree),
    )


def read_systab(tree: Tree) -> tuple[tuple[str, int], ...]:
    """The tables that the firmware published, in the order of the file. Raises ReadError."""
    path = "firmware/efi/systab"
    tables: dict[str, int] = {}
    for line in tree.text(path).splitlines(keepends=True):
        match = _SYSTAB_LINE.fullmatch(line)
        if match is None:
            raise tree.malformed(path, "lines of NAME=0x...")
        name, value = match[1], int(match[2], 16)
        if name in tables:
            raise tree.malformed(path, f"{name} only once")
        if value > U64:
            raise tree.malformed(path, f"a 64-bit address for {name}")
        tables[name] = value
    return tuple(tables.items())


def _read_runtime_map(tree: Tree, unknown: set[str]) -> tuple[RuntimeRegion, ...]:
    top = "firmware/efi/runtime-map"
    numbers = tree.numbered(top) or []
    regions = []
    for expected, number in enumerate(numbers):
        if number != expected:
            # The kernel numbers them without gaps and never removes one.
            hint = (
                "Half a map is never used: if this persists, report it with the kernel's version."
            )
            raise tree.error("sysfs-missing", f"{top}/{expected}", "it is missing", hint)
        entry = f"{top}/{number}"
        unknown |= {f"runtime-map/{name}" for name in tree.unknown(entry, _RUNTIME_ATTRIBUTES)}
        regions.append(
            RuntimeRegion(
                number=number,
                type=tree.hex(f"{entry}/type", U32),
                phys_addr=tree.hex(f"{entry}/phys_addr"),
                virt_addr=tree.hex(f"{entry}/virt_addr"),
                num_pages=tree.hex(f"{entry}/num_pages"),
                attribute=tree.hex(f"{entry}/attribute"),
            )
        )
    return tuple(regions)


def _read_memory_map(tree: Tree, unknown: set[str]) -> tuple[MemoryRange, ...] | None:
    top = "firmware/memmap"
    numbers = tree.numbered(top)
    if numbers is None:
        return None
    ranges = []
    for number in numbers:  # gaps are right here: a removed range's number is not used again
        entry = f"{top}/{number}"
        unknown |= {f"memmap/{name}" for name in tree.unknown(entry, _MEMMAP_ATTRIBUTES)}
        kind = tree.text(f"{entry}/type")
        if not _TYPE.fullmatch(kind):
            raise tree.malformed(f"{entry}/type", "one line with the name of a memory type")
        start, end = tree.hex(f"{entry}/start"), tree.hex(f"{entry}/end")
        ranges.append(MemoryRange(number, start, end, kind.rstrip("\n")))
    return tuple(ranges)


def _read_memory_blocks(tree: Tree) -> MemoryBlocks | None:
    top = "devices/system/memory"
    names = tree.names(top)
    if names is None or "block_size_bytes" not in names:  # a kernel without memory hotplug
        return None
    size = tree.bare_hex(f"{top}/block_size_bytes")
    if size == 0:
        raise tree.malformed(f"{top}/block_size_bytes", "a size above 0")
    matches = (_BLOCK.fullmatch(name) for name in names)
    numbers = sorted(int(match[1]) for match in matches if match)
    if numbers and (numbers[-1] + 1) * size - 1 > U64:
        raise tree.malformed(f"{top}/memory{numbers[-1]}", "blocks within 64 bits")
    return MemoryBlocks(size, tuple(numbers))


def read_boot_params(tree: Tree, *, required: bool = False) -> BootParams | None:
    """What of struct boot_params matters here; None where the kernel does not show it, unless it
    is required. Raises ReadError.
    """
    top = "kernel/boot_params"
    if not required and not tree.is_directory(top):
        return None
    data = tree.bytes(f"{top}/data", bootparam.SIZE)
    if len(data) != bootparam.SIZE:
        raise tree.malformed(f"{top}/data", f"{bootparam.SIZE} bytes")
    return bootparam.unpack(data)


def read_setup_data(tree: Tree) -> tuple[SetupData, ...]:
    """The setup_data list that this kernel was handed, in its order. Raises ReadError."""
    top = "kernel/boot_params/setup_data"
    nodes = []
    for number in tree.numbered(top) or ():
        kind = tree.hex(f"{top}/{number}/type", U32)
        nodes.append(SetupData(kind, _content(tree, kind, f"{top}/{number}/data")))
    return tuple(nodes)


def read_carried(tree: Tree, room: int) -> tuple[tuple[RawNode, ...], int]:
    """The setup_data nodes that are the firmware's own, in their order, and how many more there are
    that do not fit `room` bytes with the rest. Raises ReadError.

    They hold no address: option ROMs are told by the devices' numbers, Apple's properties by paths.
    """
    top = "kernel/boot_params/setup_data"
    kept: list[RawNode] = []
    left_out = 0
    for number in tree.numbered(top) or ():
        kind = tree.hex(f"{top}/{number}/type", U32)
        if kind not in (SETUP_PCI, SETUP_APPLE_PROPERTIES):
            continue
        payload = tree.bytes_within(f"{top}/{number}/data", room)
        if payload is None:
            left_out += 1
        else:
            kept.append(RawNode(kind, payload))
            room -= len(payload)
    return tuple(kept), left_out


def _content(
    tree: Tree, kind: int, path: str
) -> EfiSetupData | tuple[E820Entry, ...] | Receipt | Unusable | None:
    # Other nodes are not ours, and can be large (option ROMs) or secret (the RNG seed).
    if kind == SETUP_KEXP:
        # Anything may be in it, and nothing of it may keep the rest from being read.
        return receipt.parse(tree.bytes_within(path, receipt.LIMIT))
    if kind not in (SETUP_EFI, SETUP_E820_EXT):
        return None
    payload = tree.bytes(path, _MAX_PAYLOAD)
    if kind == SETUP_E820_EXT:
        return unpack_e820(payload)
    return unpack_efi_setup_data(payload) if len(payload) >= EFI_SETUP_DATA_SIZE else None


def _read_kernel(root: Path, tree: Tree) -> KernelTraits:
    realtime = tree.optional_text("kernel/realtime")
    hypervisor = tree.optional_text("hypervisor/type")
    version = os.uname().version if root == Path("/") else _proc_text(root, "version")
    return KernelTraits(
        cmdline=_proc_text(root, "cmdline"),
        realtime=(
            True
            if realtime == "1\n" or (version is not None and "PREEMPT_RT" in version)
            else None
            if realtime is None and version is None
            else False
        ),
        hypervisor=None if hypervisor is None else hypervisor.strip(),
    )


def _read_withheld(root: Path) -> tuple[Interval, ...]:
    """What /proc/iomem calls reserved above 4 GiB, where it is shown with addresses.

    It explains why memory is not used, and nothing else depends on it.
    """
    try:
        resources = iomem.parse(proc.text(root, "iomem") + "\n", "/proc/iomem")
    except (OSError, iomem.IomemError):
        return ()  # a recording, or without the capability that it takes
    return tuple(
        resource.extent
        for resource in resources
        if resource.name.lower() == "reserved" and resource.start >= _FOUR_GIB
    )


def _proc_text(root: Path, name: str) -> str | None:
    """A file of /proc, None where the tree has none: recordings hold /sys alone."""
    try:
        return proc.text(root, name)
    except FileNotFoundError:
        return None
    except OSError as error:
        hint = "Make it readable, or leave it out of the tree."
        raise unreadable("sysfs-unreadable", root / "proc" / name, error, hint) from error
