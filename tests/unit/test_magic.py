# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is no kernel of ours is called by its name."""

import gzip
import struct

import pytest

from kexecprepd.loader.bzimage import parse, release
from kexecprepd.loader.errors import LoadError
from tests.support.kernels import bzimage

ELF = b"\x7fELF".ljust(64, b"\0")
MULTIBOOT = ELF + struct.pack("<I", 0x1BADB002) + bytes(100)
MULTIBOOT2 = ELF + struct.pack("<I", 0xE85250D6) + bytes(100)


def with_setup(text: bytes, version: int = 0x20C) -> bytes:
    """A program with Linux' header, and this in its real-mode part."""
    image = bytearray(bzimage(version=version, kernel_version=0x48))
    image[0x248 : 0x248 + len(text) + 1] = text + b"\0"
    image[0x300:0x340] = bytes(0x40)
    return bytes(image)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        pytest.param(
            gzip.compress(MULTIBOOT), "for this architecture, but for multiboot", id="xen"
        ),
        pytest.param(MULTIBOOT2, "for this architecture, but for multiboot", id="multiboot 2"),
        pytest.param(ELF, "an ELF file", id="vmlinux"),
        pytest.param(
            ELF + b"\0" + MULTIBOOT[64:], "an ELF file", id="multiboot's number by chance"
        ),
        pytest.param(
            gzip.compress(b"070701"), "gzip-compressed: most likely an initrd.", id="gzip"
        ),
        pytest.param(gzip.compress(b"x"), "or a kernel for another architecture", id="Image.gz"),
        pytest.param(b"\x1f\x8b damaged", "gzip-compressed", id="damaged gzip"),
        pytest.param(b"\x89LZO\0", "LZO-compressed", id="lzo"),
        pytest.param(b"070701", "a cpio archive", id="cpio"),
        pytest.param(with_setup(b"MEMDISK 6.04", 0x203), "is memdisk", id="memdisk"),
        pytest.param(with_setup(b"Memtest86+ v6.10"), "is memtest86+", id="memtest86+"),
        pytest.param(with_setup(b"1.0.0+git", 0x207), "most likely iPXE", id="iPXE"),
        pytest.param(
            with_setup(b"2.6.24 (me@here) #1", 0x207), "boot protocol 2.07", id="an old Linux"
        ),
    ],
)
def test_it_is_called_by_its_name(data: bytes, words: str) -> None:
    with pytest.raises(LoadError) as raised:
        parse(data, "vmlinuz")

    assert words in str(raised.value)


@pytest.mark.parametrize("blanks", [b"   ", b"\t", b""])
def test_a_version_string_of_blanks_is_none(blanks: bytes) -> None:
    image = bytearray(bzimage())
    image[0x300:0x380] = blanks.ljust(0x80, b"\0")

    assert parse(bytes(image), "vmlinuz").version_string is None
    assert release(bytes(image)) is None


def test_a_release_is_the_version_string_s_first_word() -> None:
    assert release(bzimage()) == "6.1.0-made-up"
    assert release(b"no kernel") is None
    assert release(bytes(0x300)) is None
