# SPDX-License-Identifier: LGPL-2.1-or-later
"""Says what a file looks like that is not what it should be, by its first bytes.

Sources: the kernel's lib/decompress.c and init/initramfs.c, the Multiboot specifications.
"""

import struct
import zlib

from ..abi import bootparam

_COMPRESSED = (
    (b"\x1f\x8b", "gzip"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"\xfd7zXZ\0", "xz"),
    (b"\x02\x21\x4c\x18", "lz4"),
    (b"BZh", "bzip2"),
    (b"\x5d\0\0", "LZMA"),
    (b"\x89LZO\0", "LZO"),
)
"""What the kernel takes for an initrd that is compressed."""

_CPIO = b"0707"
_OTHERS = (
    (0, b"\x7fELF", "an ELF file, such as an uncompressed vmlinux"),
    (0, _CPIO, "a cpio archive: most likely an initrd"),
    (0x38, b"ARM\x64", "a kernel for arm64"),
    (0x38, b"RSC\x05", "a kernel for RISC-V"),
    (4, b"zimg", "a compressed EFI program, as kernels for other architectures are"),
    (0, b"MZ", "an EFI program without a bzImage's header"),
    (0, b"#!", "a script"),
)
"""An arm64 Image and an EFI program can be both: the more special ones come first."""

_MULTIBOOT = ((0x1BADB002, 8192, 4), (0xE85250D6, 32768, 8))
"""Each version's magic, within how many bytes it is, and its alignment."""

_IPXE = (0x0207, "most likely iPXE, which boots from the network")
"""Its boot protocol; it is compressed, and says its version without a builder's name."""

_WITH_A_LINUX_HEADER = (
    (b"MEMDISK", "memdisk, which boots an image of a disk"),
    (b"Memtest86+", "memtest86+, which tests memory"),
)
"""Programs that boot loaders start as they start Linux; they need a PC's firmware beside."""

_LOOKED_AT = 1 << 16


def likeness(data: bytes | memoryview) -> str:
    """What a file that is no kernel is, as the rest of "it is not ...: "."""
    head = bytes(data[:_LOOKED_AT])
    if not head:
        return "it is empty"
    inner = _unzipped(head)
    if _is_multiboot(inner or head):
        return "it is a kernel for this architecture, but for multiboot, as Xen and tboot are"
    for magic, name in _COMPRESSED:
        if head.startswith(magic):
            other = " or a kernel for another architecture" if name == "gzip" else ""
            known = inner is not None and inner.startswith(_CPIO)
            return f"it is {name}-compressed: most likely an initrd{'' if known else other}"
    for offset, magic, words in _OTHERS:
        if head[offset : offset + len(magic)] == magic:
            return f"it looks like {words}"
    return "there is no HdrS at 0x202"


def boots_like_linux(setup: bytes, protocol: int, version: str | None) -> str | None:
    """What a file with Linux' header is, if it is known not to be Linux: by its real-mode part, its
    boot protocol's version (0x20c is 2.12) and its version string.
    """
    if protocol == _IPXE[0] and version and "(" not in version:
        return _IPXE[1]
    return next((words for name, words in _WITH_A_LINUX_HEADER if name in setup), None)


def no_initrd(head: bytes) -> str | None:
    """What a file that is given for an initrd is, if the kernel will not unpack it."""
    # The kernel skips zeros before an archive, so those do not count.
    start = head.lstrip(b"\0")
    if not start or start.startswith((_CPIO, *(magic for magic, _ in _COMPRESSED))):
        return None
    if bootparam.HEADER_MAGIC.get(head) == bootparam.MAGIC:
        return "it is a kernel"
    told = likeness(head)
    return told if told.startswith("it looks") else "it is neither a cpio archive nor compressed"


def _unzipped(head: bytes) -> bytes | None:
    """How the content of a gzip file begins; None for any other."""
    if not head.startswith(_COMPRESSED[0][0]):
        return None
    try:
        return zlib.decompressobj(wbits=31).decompress(head, _LOOKED_AT)
    except zlib.error:
        return None


def _is_multiboot(head: bytes) -> bool:
    if not head.startswith(b"\x7fELF"):
        return False
    for magic, within, alignment in _MULTIBOOT:
        found = head[:within].find(struct.pack("<I", magic))
        if found >= 0 and found % alignment == 0:
            return True
    return False
