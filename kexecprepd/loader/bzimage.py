# SPDX-License-Identifier: LGPL-2.1-or-later
"""Takes a bzImage apart, and refuses whatever the 64-bit boot protocol does not cover.

Source: Documentation/arch/x86/boot.rst; the checks are those of arch/x86/kernel/kexec-bzimage64.c
(bzImage64_probe) and of whatever else in the header could mislead a loader. Little-endian.
"""

from dataclasses import dataclass

from ..abi import bootparam
from ..abi.efi import PAGE_SIZE
from . import magic
from .errors import LoadError

ENTRY_64 = 0x200
"""The 64-bit entry point's distance from where the protected-mode part lies."""

_SECTOR = 512
_BOOT_FLAG = 0xAA55
_OLDEST = 0x020C  # 2.12, the first with xloadflags: Linux 3.8
_LOADED_HIGH = 1 << 0
_SHORT_JUMP = 0xEB
_REACH = 0x202 + 0x7F  # of the jump across the header, whose operand is the header's length
_HINT = "Give the bzImage of a 64-bit x86 kernel, as distributions install it: /boot/vmlinuz-..."
_DAMAGED = "The file is damaged: install the kernel again, or copy it again."

HEAD_SIZE = 256 * _SECTOR
"""Bytes of a file that hold all that it tells of itself: setup_sects is a byte."""


@dataclass(frozen=True, slots=True)
class BzImage:
    """A kernel as the boot protocol has it; sizes in bytes, addresses physical.

    `setup_header` begins at bootparam.HEADER_START. `protected_mode` is the rest of the file: it
    goes to memory as it is, and needs `init_size` bytes there. `cmdline_size` is without the final
    NUL.
    `version_string` is None where the image names no version, or none that can be printed.
    """

    setup_header: bytes
    protected_mode: bytes | memoryview
    version: int
    xloadflags: int
    kernel_alignment: int
    relocatable: bool
    pref_address: int
    init_size: int
    cmdline_size: int
    version_string: str | None

    @property
    def takes_efi(self) -> bool:
        """Whether it takes EFI over from the kernel that starts it (XLF_EFI_KEXEC)."""
        return bool(self.xloadflags & bootparam.XLF_EFI_KEXEC)

    @property
    def five_level(self) -> bool:
        """Whether it may be entered with 5-level paging on (XLF_5LEVEL)."""
        return bool(self.xloadflags & bootparam.XLF_5LEVEL)


def parse(data: bytes | memoryview, name: str) -> BzImage:
    """Take apart the content of the file `name`. Raises LoadError, which says what is wrong."""
    header = _setup_header(data, name)
    version, loadflags = bootparam.VERSION.get(data), bootparam.LOADFLAGS.get(data)
    if not loadflags & _LOADED_HIGH:
        raise LoadError(f"{name} is a zImage: loadflags are {loadflags:#x}.", _HINT)
    xloadflags = bootparam.XLOADFLAGS.get(data)
    for flag, meaning in (
        (bootparam.XLF_KERNEL_64, "has no 64-bit entry: XLF_KERNEL_64"),
        (
            bootparam.XLF_CAN_BE_LOADED_ABOVE_4G,
            "cannot be loaded above 4 GiB: XLF_CAN_BE_LOADED_ABOVE_4G",
        ),
    ):
        if not xloadflags & flag:
            sentence = f"{name} {meaning} is not in its xloadflags, {xloadflags:#x}."
            raise LoadError(sentence, _HINT)
    protected_mode = _protected_mode(data, name)
    kernel = BzImage(
        setup_header=header,
        protected_mode=protected_mode,
        version=version,
        xloadflags=xloadflags,
        kernel_alignment=bootparam.KERNEL_ALIGNMENT.get(data),
        relocatable=bootparam.RELOCATABLE_KERNEL.get(data) != 0,
        pref_address=bootparam.PREF_ADDRESS.get(data),
        init_size=bootparam.INIT_SIZE.get(data),
        cmdline_size=bootparam.CMDLINE_SIZE.get(data),
        version_string=_version_string(data),
    )
    _require_sense(kernel, name)
    return kernel


def _setup_header(data: bytes | memoryview, name: str) -> bytes:
    """The header, by the length that it gives itself; its magic numbers and version are right."""
    if bootparam.HEADER_MAGIC.get(data) != bootparam.MAGIC:
        raise LoadError(f"{name} is not a bzImage: {magic.likeness(data)}.", _HINT)
    if len(data) < bootparam.INIT_SIZE_END:
        raise LoadError(f"{name} is truncated: it ends in its header.", _DAMAGED)
    protocol = bootparam.VERSION.get(data)
    if other := magic.boots_like_linux(bytes(data[:HEAD_SIZE]), protocol, _version_string(data)):
        raise LoadError(f"{name} is {other}, and no Linux.", _HINT)
    if (flag := bootparam.BOOT_FLAG.get(data)) != _BOOT_FLAG:
        raise LoadError(f"{name} has {flag:#06x} for its boot_flag, not 0xaa55.", _DAMAGED)
    if protocol < _OLDEST:
        sentence = f"{name} has boot protocol {_dotted(protocol)}, and 2.12 is needed."
        raise LoadError(sentence, "Give a kernel that is not older than Linux 3.8.")
    end = bootparam.HEADER_MAGIC.offset + bootparam.JUMP_DISTANCE.get(data)
    jump = bootparam.JUMP.get(data)
    if jump != _SHORT_JUMP or not bootparam.INIT_SIZE_END <= end <= _REACH:
        sentence = (
            f"{name} says that its header ends at {end:#x}, after a jump {jump:#04x}: "
            f"that is not within {bootparam.INIT_SIZE_END:#x} to {_REACH:#x}, or no jump."
        )
        raise LoadError(sentence, _DAMAGED)
    return bytes(data[bootparam.HEADER_START : end])


def _protected_mode(data: bytes | memoryview, name: str) -> bytes | memoryview:
    """What follows the real-mode part, all of it there."""
    sectors = bootparam.SETUP_SECTS.get(data) or 4
    setup_size = (sectors + 1) * _SECTOR
    rest = len(data) - setup_size
    if rest <= ENTRY_64:
        sentence = (
            f"{name} has {len(data)} bytes, and setup_sects is {sectors}: "
            "that leaves no protected-mode part with a 64-bit entry."
        )
        raise LoadError(sentence, _DAMAGED)
    if rest < (told := bootparam.SYSSIZE.get(data) * 16):
        sentence = f"{name} is truncated: by syssize, {told - rest} bytes are missing."
        raise LoadError(sentence, _DAMAGED)
    return data[setup_size:]


def _require_sense(kernel: BzImage, name: str) -> None:
    """Refuse numbers that no kernel was built with: a layout may rely on the others."""
    alignment = kernel.kernel_alignment
    if alignment < PAGE_SIZE or alignment & (alignment - 1):
        sentence = (
            f"{name} has {alignment:#x} for its kernel_alignment, "
            "which is not a power of two, or less than a page."
        )
        raise LoadError(sentence, _DAMAGED)
    if kernel.pref_address % alignment:
        sentence = (
            f"{name} has {kernel.pref_address:#x} for its pref_address, "
            f"which is not aligned to its kernel_alignment, {alignment:#x}."
        )
        raise LoadError(sentence, _DAMAGED)
    if kernel.init_size < len(kernel.protected_mode):
        sentence = (
            f"{name} has {kernel.init_size:#x} for its init_size, less than "
            f"the {len(kernel.protected_mode):#x} bytes of its protected-mode part."
        )
        raise LoadError(sentence, _DAMAGED)
    if kernel.pref_address + kernel.init_size > 1 << 64:
        sentence = (
            f"{name} has a pref_address and an init_size, {kernel.pref_address:#x} and "
            f"{kernel.init_size:#x}, that wrap around 2^64."
        )
        raise LoadError(sentence, _DAMAGED)


def release(head: bytes) -> str | None:
    """What `uname -r` says in a kernel, by the first HEAD_SIZE bytes of its file; None where that
    is not told, or it is no bzImage.
    """
    if len(head) < bootparam.INIT_SIZE_END or bootparam.HEADER_MAGIC.get(head) != bootparam.MAGIC:
        return None
    version = _version_string(head)
    return version.split()[0] if version else None


def _version_string(data: bytes | memoryview) -> str | None:
    pointer = bootparam.KERNEL_VERSION.get(data)
    setup = bytes(data[: ((bootparam.SETUP_SECTS.get(data) or 4) + 1) * _SECTOR])
    text, end, _ = setup[pointer + 0x200 :].partition(b"\0")
    if pointer == 0 or not text or not end:
        return None
    decoded = text.decode("ascii", errors="replace").strip(" ")
    return decoded if decoded and decoded.isascii() and decoded.isprintable() else None


def _dotted(version: int) -> str:
    return f"{version >> 8}.{version & 0xFF:02}"
