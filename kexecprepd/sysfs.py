# SPDX-License-Identifier: LGPL-2.1-or-later
"""Reads sysfs into a Snapshot: strictly, and only when two passes over it agree.

The formats are the kernel's: drivers/firmware/efi/efi.c, arch/x86/platform/efi/runtime-map.c,
drivers/firmware/memmap.c and arch/x86/kernel/ksysfs.c.
"""

import errno
import os
import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .model import (
    BootParams,
    EfiTables,
    KernelTraits,
    MemoryRange,
    RuntimeRegion,
    SetupData,
    Snapshot,
)

MAX_PASSES = 10
"""How often sysfs is read at most before a reading is given up as unstable."""

SETUP_EFI = 4
"""setup_data type of the node that carries struct efi_setup_data."""

_MAX_TEXT = 4096
"""A sysfs attribute never exceeds a page."""

_MAX_PAYLOAD = 1 << 20
"""Far above any SETUP_EFI payload (96 bytes), far below what could hurt."""

_BOOT_PARAMS_SIZE = 4096
_U32 = (1 << 32) - 1
_U64 = (1 << 64) - 1

_HEX = re.compile(r"0x(0|[1-9a-f][0-9a-f]*)\n")
_NUMBER = re.compile(r"0|[1-9][0-9]*")
_SYSTAB_LINE = re.compile(r"([A-Z][A-Z0-9]*)=(0x(?:0|[1-9a-f][0-9a-f]*))\n")
_TYPE = re.compile(r"[ -~]{1,64}\n")

_RUNTIME_ATTRIBUTES = ("type", "phys_addr", "virt_addr", "num_pages", "attribute")
_MEMMAP_ATTRIBUTES = ("start", "end", "type")


class ReadError(Exception):
    """Sysfs could not be read whole.

    `code` says how, as a finding's code; `path` is the file or directory, `problem` what was
    wrong with it, `hint` what to do. None of them holds an address or a file's content.
    """

    def __init__(self, code: str, path: str, problem: str, hint: str) -> None:
        super().__init__(f"{path}: {problem}")
        self.code = code
        self.path = path
        self.problem = problem
        self.hint = hint


class UnstableError(ReadError):
    """No two passes agreed within the bound: the tree kept changing while it was read."""


def read_snapshot(root: Path = Path("/"), *, passes: int = MAX_PASSES) -> Snapshot:
    """Read everything below `root`/sys, again and again until two passes in a row agree.

    Memory hot-remove pulls directories away under a reader, and a set of files is consistent
    only if nothing moved between the first and the last: so a reading counts once it repeats.

    Raises ReadError for what is missing, unreadable or malformed in two passes running, and
    UnstableError where `passes` passes brought no agreement.
    """
    previous: Snapshot | ReadError | None = None
    for _ in range(passes):
        try:
            current: Snapshot | ReadError = _read_once(root)
        except ReadError as error:
            current = error
        if isinstance(current, ReadError):
            if isinstance(previous, ReadError) and str(previous) == str(current):
                raise current
        elif current == previous:
            return current
        previous = current
    raise UnstableError(
        "sysfs-unstable",
        str(root / "sys/firmware"),
        f"no two of {passes} passes over it agreed",
        "Memory is being plugged or unplugged: ask again when that has settled.",
    )


def _read_once(root: Path) -> Snapshot:
    with _Tree.open(root / "sys") as tree:
        has_runtime_map = tree.is_directory("firmware/efi/runtime-map")
        return Snapshot(
            efi=_read_efi(tree, required=has_runtime_map),
            runtime_map=_read_runtime_map(tree) if has_runtime_map else None,
            memory_map=_read_memory_map(tree),
            boot_params=_read_boot_params(tree, required=has_runtime_map),
            setup_data=_read_setup_data(tree),
            kernel=_read_kernel(root, tree),
        )


class _Tree:
    """A directory held open; every path is relative to it, every error names the path whole."""

    def __init__(self, top: Path, fd: int) -> None:
        self._top = top
        self._fd = fd

    @classmethod
    @contextmanager
    def open(cls, top: Path) -> Iterator["_Tree"]:
        try:
            fd = os.open(top, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            hint = "Give --root the directory that holds sys/, or mount sysfs."
            raise ReadError("sysfs-missing", str(top), _words(error), hint) from error
        try:
            yield cls(top, fd)
        finally:
            os.close(fd)

    def error(self, code: str, path: str, problem: str, hint: str) -> ReadError:
        return ReadError(code, str(self._top / path), problem, hint)

    def malformed(self, path: str, expected: str) -> ReadError:
        hint = "This is not what the kernel writes: compare with the kernel's documentation."
        return self.error("sysfs-malformed", path, f"expected {expected}", hint)

    def is_directory(self, path: str) -> bool:
        return self.names(path) is not None

    def names(self, path: str) -> list[str] | None:
        """The names in a directory, None where it does not exist."""
        try:
            fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self._fd)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._unreadable(path, error) from error
        try:
            return os.listdir(fd)
        except OSError as error:
            raise self._unreadable(path, error) from error
        finally:
            os.close(fd)

    def bytes(self, path: str, limit: int) -> bytes:
        """A whole file. A file longer than `limit` bytes is an error: nothing is cut off."""
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._fd)
        except OSError as error:
            raise self._unreadable(path, error) from error
        try:
            content = b""
            while len(content) <= limit:
                chunk = os.read(fd, limit + 1 - len(content))
                if not chunk:
                    return content
                content += chunk
        except OSError as error:
            raise self._unreadable(path, error) from error
        finally:
            os.close(fd)
        raise self.malformed(path, f"at most {limit} bytes")

    def text(self, path: str) -> str:
        try:
            return self.bytes(path, _MAX_TEXT).decode("ascii")
        except UnicodeDecodeError as error:
            raise self.malformed(path, "plain text") from error

    def hex(self, path: str, maximum: int = _U64) -> int:
        """A value as the kernel prints it with `0x%llx\\n`: lower case, no padding."""
        match = _HEX.fullmatch(self.text(path))
        if match is None:
            raise self.malformed(path, "one hexadecimal number, 0x..., and a newline")
        value = int(match[1], 16)
        if value > maximum:
            bits = maximum.bit_length()
            hint = "This is not what the kernel writes: the tree is damaged."
            raise self.error("sysfs-malformed", path, f"the number exceeds {bits} bits", hint)
        return value

    def optional_text(self, path: str) -> str | None:
        try:
            os.stat(path, dir_fd=self._fd)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._unreadable(path, error) from error
        return self.text(path)

    def numbered(self, path: str) -> list[int] | None:
        """The numeric names in a directory, ascending; None where it does not exist."""
        names = self.names(path)
        if names is None:
            return None
        for name in names:
            if not _NUMBER.fullmatch(name):
                raise self.malformed(f"{path}/{name}", "only directories with a decimal number")
        return sorted(int(name) for name in names)

    def require_names(self, path: str, expected: tuple[str, ...]) -> None:
        """Refuse a directory that lacks one of the names, or holds another one."""
        found = self.names(path)
        for name in expected:
            if name not in (found or ()):
                raise self._unreadable(f"{path}/{name}", FileNotFoundError(errno.ENOENT, ""))
        for name in found or ():
            if name not in expected:
                raise self.malformed(f"{path}/{name}", "only " + ", ".join(expected))

    def _unreadable(self, path: str, error: OSError) -> ReadError:
        if isinstance(error, FileNotFoundError):
            hint = (
                "Half a map is never used: if this persists, report it with the kernel's version."
            )
            return self.error("sysfs-missing", path, "it is missing", hint)
        if isinstance(error, PermissionError):
            hint = "Run this as root, or with CAP_DAC_READ_SEARCH as the service does."
            return self.error("sysfs-unreadable", path, "permission denied", hint)
        hint = "If this persists, report it with the kernel's version."
        return self.error("sysfs-unreadable", path, _words(error), hint)


def _words(error: OSError) -> str:
    return (error.strerror or str(error)).lower()


def _read_efi(tree: _Tree, *, required: bool) -> EfiTables | None:
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
        systab=_parse_systab(tree, f"{top}/systab"),
    )


def _parse_systab(tree: _Tree, path: str) -> tuple[tuple[str, int], ...]:
    tables: dict[str, int] = {}
    for line in tree.text(path).splitlines(keepends=True):
        match = _SYSTAB_LINE.fullmatch(line)
        if match is None:
            raise tree.malformed(path, "lines of NAME=0x...")
        name, value = match[1], int(match[2], 16)
        if name in tables:
            raise tree.malformed(path, f"{name} only once")
        if value > _U64:
            raise tree.malformed(path, f"a 64-bit address for {name}")
        tables[name] = value
    return tuple(tables.items())


def _read_runtime_map(tree: _Tree) -> tuple[RuntimeRegion, ...]:
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
        tree.require_names(entry, _RUNTIME_ATTRIBUTES)
        regions.append(
            RuntimeRegion(
                number=number,
                type=tree.hex(f"{entry}/type", _U32),
                phys_addr=tree.hex(f"{entry}/phys_addr"),
                virt_addr=tree.hex(f"{entry}/virt_addr"),
                num_pages=tree.hex(f"{entry}/num_pages"),
                attribute=tree.hex(f"{entry}/attribute"),
            )
        )
    return tuple(regions)


def _read_memory_map(tree: _Tree) -> tuple[MemoryRange, ...] | None:
    top = "firmware/memmap"
    numbers = tree.numbered(top)
    if numbers is None:
        return None
    ranges = []
    for number in numbers:  # gaps are right here: a removed range's number is not used again
        entry = f"{top}/{number}"
        tree.require_names(entry, _MEMMAP_ATTRIBUTES)
        kind = tree.text(f"{entry}/type")
        if not _TYPE.fullmatch(kind):
            raise tree.malformed(f"{entry}/type", "one line with the name of a memory type")
        start, end = tree.hex(f"{entry}/start"), tree.hex(f"{entry}/end")
        ranges.append(MemoryRange(number, start, end, kind.rstrip("\n")))
    return tuple(ranges)


def _read_boot_params(tree: _Tree, *, required: bool) -> BootParams | None:
    top = "kernel/boot_params"
    if not required and not tree.is_directory(top):
        return None
    data = tree.bytes(f"{top}/data", _BOOT_PARAMS_SIZE)
    if len(data) != _BOOT_PARAMS_SIZE:
        raise tree.malformed(f"{top}/data", f"{_BOOT_PARAMS_SIZE} bytes")
    # struct efi_info, arch/x86/include/uapi/asm/bootparam.h
    signature, systab, desc_size, desc_version, _, map_size, systab_hi, _ = struct.unpack_from(
        "<4s7I", data, 0x1C0
    )
    return BootParams(
        efi_signature=signature,
        efi_systab=systab_hi << 32 | systab,
        efi_memdesc_size=desc_size,
        efi_memdesc_version=desc_version,
        efi_memmap_size=map_size,
        acpi_rsdp=struct.unpack_from("<Q", data, 0x70)[0],
        secure_boot=data[0x1EC],
        type_of_loader=data[0x210],
    )


def _read_setup_data(tree: _Tree) -> tuple[SetupData, ...]:
    top = "kernel/boot_params/setup_data"
    nodes = []
    for number in tree.numbered(top) or ():
        kind = tree.hex(f"{top}/{number}/type", _U32)
        # Other nodes are not ours, and can be large (IMA's list) or secret (the RNG seed).
        wanted = kind == SETUP_EFI
        nodes.append(
            SetupData(kind, tree.bytes(f"{top}/{number}/data", _MAX_PAYLOAD) if wanted else b"")
        )
    return tuple(nodes)


def _read_kernel(root: Path, tree: _Tree) -> KernelTraits:
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


def _proc_text(root: Path, name: str) -> str | None:
    """A file of /proc, None where the tree has none: recordings hold /sys alone."""
    try:
        return (root / "proc" / name).read_text("ascii", errors="backslashreplace").strip()
    except FileNotFoundError:
        return None
    except OSError as error:
        hint = "Make it readable, or leave it out of the tree."
        path = str(root / "proc" / name)
        raise ReadError("sysfs-unreadable", path, _words(error), hint) from error
