# SPDX-License-Identifier: LGPL-2.1-or-later
"""A bzImage taken apart, and everything that is refused about one."""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kexecprepd.loader.bzimage import parse
from kexecprepd.loader.errors import LoadError
from tests.support.kernels import FIELDS, MIB, VERSION, bzimage, debian_header
from tests.support.made_up import EXAMPLES


def refusal(data: bytes) -> str:
    with pytest.raises(LoadError) as raised:
        parse(data, "vmlinuz")
    assert raised.value.hint.endswith((".", "-..."))
    assert str(raised.value).startswith("vmlinuz ")
    assert str(raised.value).endswith(".")
    return str(raised.value)


def test_a_kernel_is_what_its_header_says() -> None:
    kernel = parse(bzimage(b"\x90" * 0x1000, init_size=5 * MIB, cmdline_size=4095), "vmlinuz")

    assert kernel.protected_mode == b"\x90" * 0x1000
    assert (kernel.init_size, kernel.cmdline_size) == (5 * MIB, 4095)
    assert (kernel.kernel_alignment, kernel.pref_address) == (2 * MIB, 16 * MIB)
    assert (kernel.version, kernel.relocatable) == (0x20F, True)
    assert kernel.version_string == VERSION


def test_the_header_is_as_long_as_it_says() -> None:
    image = bzimage(header_length=0x66)

    assert parse(image, "vmlinuz").setup_header == image[0x1F1:0x268]


def test_debians_kernel() -> None:
    # Its file has 8247232 bytes; only its header matters here.
    kernel = parse(debian_header().ljust(8247232, b"\0"), "vmlinuz")

    assert len(kernel.setup_header) == 0x26C - 0x1F1
    assert len(kernel.protected_mode) == 8247232 - 40 * 512
    assert (kernel.pref_address, kernel.init_size) == (0x100_0000, 0x3F9_8000)
    assert kernel.takes_efi
    assert kernel.five_level


@pytest.mark.parametrize(
    ("xloadflags", "takes_efi", "five_level"),
    [(0x0F, False, False), (0x1F, True, False), (0x2F, False, True), (0x7F, True, True)],
)
def test_what_a_kernel_takes(xloadflags: int, takes_efi: bool, five_level: bool) -> None:
    kernel = parse(bzimage(xloadflags=xloadflags), "vmlinuz")

    assert (kernel.takes_efi, kernel.five_level) == (takes_efi, five_level)


def test_no_setup_sectors_means_four() -> None:
    image = bzimage(b"\x11" * 512 * 8, setup_sects=0, syssize=6 * 32)

    assert len(parse(image, "vmlinuz").protected_mode) == 512 * (3 + 8 - 5)


def test_what_is_appended_belongs_to_the_kernel() -> None:
    signature = b"signed" * 10

    assert bytes(parse(bzimage() + signature, "vmlinuz").protected_mode).endswith(signature)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        pytest.param({"boot_flag": 0xAA54}, "0xaa54 for its boot_flag", id="boot_flag"),
        pytest.param({"version": 0x20B}, "protocol 2.11", id="version"),
        pytest.param({"loadflags": 0x80}, "zImage: loadflags are 0x80", id="loadflags"),
        pytest.param({"xloadflags": 0x7E}, "XLF_KERNEL_64 is not", id="32-bit"),
        pytest.param({"xloadflags": 0x7D}, "XLF_CAN_BE_LOADED_ABOVE_4G is not", id="below 4 GiB"),
        pytest.param({"jump": 0xE9}, "0xe9", id="no jump"),
        pytest.param({"header_length": 0x61}, "ends at 0x263", id="header too short"),
        pytest.param({"header_length": 0x80}, "ends at 0x282", id="header too long"),
        pytest.param({"header_length": 0xFF}, "ends at 0x301", id="header over e820"),
        pytest.param({"setup_sects": 0xFF}, "setup_sects is 255", id="setup_sects"),
        pytest.param({"syssize": 0x81}, "16 bytes are missing", id="syssize"),
        pytest.param({"kernel_alignment": 0}, "0x0 for its kernel_alignment", id="alignment 0"),
        pytest.param({"kernel_alignment": 0x30_0000}, "power of two", id="alignment odd"),
        pytest.param({"kernel_alignment": 0x800}, "less than a page", id="alignment small"),
        pytest.param({"pref_address": 0x110_0000}, "0x1100000 for its pref", id="pref_address"),
        pytest.param({"init_size": 0}, "0x0 for its init_size", id="init_size 0"),
        pytest.param({"init_size": 0x7FF}, "0x7ff for its init_size", id="init_size"),
        pytest.param({"pref_address": (1 << 64) - 2 * MIB}, "wrap around", id="wraps"),
    ],
)
def test_a_header_that_is_wrong_is_refused_by_name(fields: dict[str, int], words: str) -> None:
    assert words in refusal(bzimage(**fields))


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"version": 0x20C}, id="version"),
        pytest.param({"header_length": 0x62}, id="shortest header"),
        pytest.param({"header_length": 0x7F}, id="longest header"),
        pytest.param({"syssize": 0x80}, id="syssize"),
        pytest.param({"init_size": 0x800}, id="init_size"),
        pytest.param({"pref_address": (1 << 64) - 32 * MIB}, id="ends at 2^64"),
        pytest.param({"kernel_alignment": 0x1000}, id="alignment"),
    ],
)
def test_the_edge_of_what_is_allowed_is_allowed(fields: dict[str, int]) -> None:
    parse(bzimage(**fields), "vmlinuz")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        pytest.param(b"", "is empty", id="empty"),
        pytest.param(b"\x7fELF\2\1\1", "an ELF file", id="vmlinux"),
        pytest.param(b"\x1f\x8b\x08", "gzip", id="gzip"),
        pytest.param(b"\x28\xb5\x2f\xfd", "zstd", id="zstd"),
        pytest.param(b"\xfd7zXZ\0\0", "xz", id="xz"),
        pytest.param(b"070701" * 200, "cpio", id="initrd"),
        pytest.param(b"MZ".ljust(0x38, b"\0") + b"ARM\x64", "arm64", id="arm64"),
        pytest.param(b"MZ\0\0zimg", "other architectures", id="zboot"),
        pytest.param(b"MZ".ljust(2000, b"\0"), "EFI program", id="EFI program"),
        pytest.param(b"#!/bin/sh\n", "a script", id="script"),
        pytest.param(bytes(4096), "no HdrS at 0x202", id="zeros"),
        pytest.param(bzimage(header=b"HdrT"), "no HdrS at 0x202", id="wrong magic"),
    ],
)
def test_what_is_no_bzimage_is_told_for_what_it_looks_like(data: bytes, words: str) -> None:
    sentence = refusal(data)

    assert "not a bzImage" in sentence
    assert words in sentence


@pytest.mark.parametrize("size", [0x206, 0x263, 0x264, 512 * 3, 512 * 3 + 0x200, 512 * 3 + 0x7FF])
def test_a_truncated_kernel_is_refused(size: int) -> None:
    assert "HdrS" not in refusal(bzimage()[:size])


def test_a_kernel_without_an_entry_is_refused() -> None:
    assert "64-bit entry" in refusal(bzimage(b"\x90" * 0x200, syssize=0))


@pytest.mark.parametrize(
    "fields", [{"kernel_version": 0}, {"kernel_version": 0x400}, {"kernel_version": 0xFFFF}]
)
def test_a_version_that_is_not_in_the_setup_part_is_none(fields: dict[str, int]) -> None:
    image = bzimage(b"6.1\0" * 0x200, **fields)

    assert parse(image, "vmlinuz").version_string is None


@pytest.mark.parametrize("version", [b"\x1b[2J6.1", b"6.1\xff", b"6.1\n"])
def test_a_version_that_a_terminal_would_obey_is_none(version: bytes) -> None:
    image = bytearray(bzimage())
    image[0x300 : 0x300 + len(VERSION)] = version.ljust(len(VERSION), b"\0")

    assert parse(bytes(image), "vmlinuz").version_string is None


values = st.integers(0, 0xFF) | st.sampled_from([0, 0xFFFF_FFFF]) | st.integers(0, (1 << 64) - 1)


@settings(EXAMPLES, max_examples=500)
@given(
    st.dictionaries(st.sampled_from([name for name in FIELDS if name != "header"]), values),
    st.integers(0, 0xE00),
)
def test_whatever_a_header_says_it_is_refused_or_makes_sense(
    fields: dict[str, int], size: int
) -> None:
    masked = {
        name: value & (1 << 8 * struct.calcsize(FIELDS[name][1])) - 1
        for name, value in fields.items()
    }
    try:
        kernel = parse(bzimage(**masked)[: size or None], "vmlinuz")
    except LoadError as error:
        assert str(error).startswith("vmlinuz ")  # noqa: PT017 # it may also be taken
        return
    assert 0x1F1 + len(kernel.setup_header) <= 0x281
    assert kernel.kernel_alignment.bit_count() == 1
    assert kernel.kernel_alignment >= 4096
    assert kernel.pref_address % kernel.kernel_alignment == 0
    assert 0x200 < len(kernel.protected_mode) <= kernel.init_size
    assert kernel.pref_address + kernel.init_size <= 1 << 64
    assert kernel.xloadflags & 3 == 3
