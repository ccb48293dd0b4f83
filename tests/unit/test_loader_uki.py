# SPDX-License-Identifier: LGPL-2.1-or-later
"""A unified kernel image taken apart, and what is refused about one."""

import struct
import sys
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kexecprepd.loader.errors import LoadError
from kexecprepd.loader.files import Part
from kexecprepd.loader.uki import UnifiedKernel, is_pe
from kexecprepd.loader.uki import unpack as unpack_file
from tests.support.kernels import bzimage, debian_header, uki
from tests.support.made_up import EXAMPLES
from tests.support.wanted import opened

LINUX = bzimage()
STUB = (".text", b"\xc3" * 700)
WHOLE = (
    STUB,
    (".osrel", b"ID=made-up\n"),
    (".cmdline", b"root=/dev/vda1 quiet\n\0"),
    (".initrd", b"070701" * 100),
    (".linux", LINUX),
)


class Parts(NamedTuple):
    """What an image gives the kernel."""

    linux: bytes
    initrd: bytes | None
    cmdline: str | None


def unpack(data: bytes, name: str) -> Parts:
    def content(part: Part | None) -> bytes | None:
        return part.head(part.size) if part else None

    with opened(data, name) as file:
        image = unpack_file(file)
        assert isinstance(image, UnifiedKernel)
        initrd = [each for each in (content(image.ucode), content(image.initrd)) if each]
        return Parts(content(image.linux) or b"", b"".join(initrd) or None, image.cmdline)


def refusal(data: bytes) -> str:
    with pytest.raises(LoadError) as raised:
        unpack(data, "linux.efi")
    assert raised.value.hint.endswith(".")
    assert str(raised.value).startswith("linux.efi ")
    assert str(raised.value).endswith(".")
    return str(raised.value)


def test_its_parts_are_what_was_put_in() -> None:
    parts = unpack(uki(*WHOLE), "linux.efi")

    assert parts == Parts(LINUX, b"070701" * 100, "root=/dev/vda1 quiet")


def test_what_it_does_not_hold_is_none() -> None:
    assert unpack(uki(STUB, (".linux", LINUX)), "linux.efi") == Parts(LINUX, None, None)


def test_an_empty_command_line_is_one() -> None:
    assert unpack(uki((".linux", LINUX), (".cmdline", b"\n")), "linux.efi").cmdline == ""


def test_microcode_comes_before_the_initrd() -> None:
    image = uki((".initrd", b"initrd!!"), (".ucode", b"ucode!!!"), (".linux", LINUX))

    assert unpack(image, "linux.efi").initrd == b"ucode!!!initrd!!"


def test_microcode_alone_is_an_initrd() -> None:
    assert unpack(uki((".ucode", b"u"), (".linux", LINUX)), "linux.efi").initrd == b"u"


def test_a_section_ends_where_its_content_does_not_where_the_disk_block_does() -> None:
    assert unpack(uki((".linux", LINUX + b"!")), "linux.efi").linux == LINUX + b"!"


def test_a_section_that_is_larger_in_memory_is_taken_as_the_file_has_it() -> None:
    image = uki((".linux", LINUX), headers={0: {"VirtualSize": 1 << 26}})

    assert unpack(image, "linux.efi").linux.rstrip(b"\0") == LINUX.rstrip(b"\0")


PROFILES = (
    (".linux", LINUX),
    (".cmdline", b"base"),
    (".initrd", b"base"),
    (".profile", b"ID=main\n"),
    (".cmdline", b"main"),
    (".profile", b"ID=factory-reset\n"),
    (".cmdline", b"factory-reset"),
    (".initrd", b"factory-reset"),
)


def test_of_several_profiles_it_is_the_first_on_top_of_the_base() -> None:
    assert unpack(uki(*PROFILES), "linux.efi") == Parts(LINUX, b"base", "main")


def test_a_first_profile_that_changes_nothing_is_the_base() -> None:
    without = (each for each in PROFILES if each != (".cmdline", b"main"))

    assert unpack(uki(*without), "linux.efi").cmdline == "base"


def test_the_order_of_profiles_is_that_of_the_table_not_of_addresses() -> None:
    upwards = {n: {"VirtualAddress": 0x100_0000 - n * 0x10_0000} for n in range(len(PROFILES))}

    assert unpack(uki(*PROFILES, headers=upwards), "linux.efi").cmdline == "main"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        pytest.param(uki(STUB), "some other EFI program", id="no kernel"),
        pytest.param(uki((".cmdline", b"debug")), "an add-on", id="add-on"),
        pytest.param(uki(*WHOLE, machine=0xAA64), "0xaa64", id="arm64"),
        pytest.param(uki((".linux", LINUX), (".linux", LINUX)), "two sections .linux", id="double"),
        pytest.param(uki((".linux", LINUX), (".initrd", b"")), "nothing in it", id="empty"),
        pytest.param(uki((".linux", b"")), "nothing in it", id="empty kernel"),
        pytest.param(uki((".linux", LINUX), (".cmdline", b"\xff\xfe")), "not text", id="not text"),
        pytest.param(
            uki((".linux", LINUX), (".cmdline", b"x" * ((1 << 20) + 1))), "bytes of text", id="long"
        ),
        pytest.param(uki(*WHOLE)[:-0x800], "'.linux' ends", id="truncated"),
        pytest.param(uki(*WHOLE)[:0x150], "damaged PE file", id="truncated table"),
        pytest.param(b"MZ".ljust(0x3C, b"\0") + b"\x40\0\0\0PE\0\0", "damaged PE file", id="PE"),
        pytest.param(
            uki(*WHOLE, headers={0: {"SizeOfRawData": 0x8000, "VirtualSize": 0x8000}}),
            "beyond the file",
            id="section of the EFI stub beyond the file",
        ),
        pytest.param(
            uki(*WHOLE, headers={3: {"PointerToRawData": 0xFFFF_FE00}}), "'.initrd' ends", id="far"
        ),
        pytest.param(
            uki(*WHOLE, headers={3: {"SizeOfRawData": 0xFFFF_FFFF, "VirtualSize": 0xFFFF_FFFF}}),
            "'.initrd' ends",
            id="huge",
        ),
    ],
)
def test_an_image_that_is_wrong_is_refused_by_name(data: bytes, words: str) -> None:
    assert words in refusal(data)


def test_a_section_that_the_library_gives_up_on_is_not_left_out_silently() -> None:
    wrong = {"VirtualSize": 1 << 31, "VirtualAddress": 1 << 31, "PointerToRawData": 0xFFFF_FFFF}

    assert "sections only 4 make sense" in refusal(uki(*WHOLE, headers={4: wrong}))


def test_without_the_library_it_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    modules: dict[str, Any] = sys.modules
    monkeypatch.setitem(modules, "pefile", None)  # as Python marks what cannot be imported

    with pytest.raises(LoadError) as raised:
        unpack(uki(*WHOLE), "linux.efi")

    assert "python3-pefile" in raised.value.hint


def test_sections_that_overlap_are_named() -> None:
    sentence = refusal(uki(*WHOLE, headers={2: {"PointerToRawData": 0xC00}}))

    assert "'.initrd' and '.cmdline'" in sentence


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(uki(*WHOLE), True, id="unified kernel image"),
        pytest.param(uki(STUB), True, id="EFI program"),
        pytest.param(debian_header(), False, id="bzImage with an EFI stub"),
        pytest.param(LINUX, False, id="bzImage without"),
        pytest.param(b"MZ".ljust(0x3C, b"\0") + struct.pack("<I", 0x40), False, id="no PE"),
        pytest.param(b"MZ", False, id="too short"),
        pytest.param(b"\x7fELF".ljust(4096, b"\0"), False, id="ELF"),
        pytest.param(
            b"MZ".ljust(0x38, b"\0") + b"ARM\x64\x40\0\0\0PE\0\0", False, id="arm64 Image"
        ),
    ],
)
def test_which_files_are_taken_apart_here(data: bytes, expected: bool) -> None:
    with opened(data) as file:
        assert is_pe(file) is expected


GOOD = uki(*WHOLE)


@settings(EXAMPLES, max_examples=500)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 0x300),
            st.binary(min_size=1, max_size=8)
            | st.sampled_from([b"\xff" * 4, bytes(4), b"\xff" * 8, b".linux\0\0", b".profile"]),
        ),
        max_size=6,
    ),
    st.integers(0, len(GOOD)) | st.just(len(GOOD)),
)
def test_whatever_an_image_says_it_is_refused_or_made_of_its_own_bytes(
    patches: list[tuple[int, bytes]], size: int
) -> None:
    image = bytearray(GOOD)
    for offset, content in patches:
        image[offset : offset + len(content)] = content
    data = bytes(image[:size]) or b"x"
    try:
        parts = unpack(data, "linux.efi")
    except LoadError as error:
        assert str(error).startswith("linux.efi ")  # noqa: PT017 # it may also be taken
        return
    assert parts.linux
    assert parts.linux in data
    assert parts.initrd is None or parts.initrd in data
