# SPDX-License-Identifier: LGPL-2.1-or-later
"""The entry stub: what the processor finds in it, read by hand."""

import struct

import pytest

from kexecprepd.loader.stub import stub

PAGE = 0x7FF0_0000
KERNEL = 0x1_0000_0200
PARAMS = 0x7FEF_F000
CODE = stub(PAGE, KERNEL, PARAMS)


def test_it_is_what_was_checked_with_a_disassembler() -> None:
    assert CODE.hex(" ", -16).split() == [
        "fafc0f01154d000000b8180000008ed8",  # cli; cld; lgdt [rip+0x4d]; mov eax,0x18; mov ds,eax
        "8ec08ed0488d25e50f0000488d050500",  # mov es,eax; mov ss,eax; lea rsp,[rip+0xfe5]; lea
        "00006a105048cb48be00f0ef7f000000",  # rax,[rip+5]; push 0x10; push rax; lretq; mov rsi,
        "0031c031db31ed31ffff2509000000cc",  # PARAMS; xor eax, ebx, ebp, edi; jmp [rip+9]; int3
        "cccccccccccccccc0002000001000000",  # int3...; KERNEL
        "0000000000001f006000f07f00000000",  # GDTR: limit 0x1f, base PAGE+0x60
        "00000000000000000000000000000000",  # selectors 0x00 and 0x08: null
        "ffff0000009baf00ffff00000093cf00",  # selectors 0x10 and 0x18
    ]


def target(opcode: str, code: bytes = CODE) -> int:
    """Where the operand relative to rip of the one instruction with that opcode points."""
    start = bytes.fromhex(opcode)
    assert code.count(start) == 1
    at = code.index(start) + len(start)
    distance: int = struct.unpack_from("<i", code, at)[0]
    return at + 4 + distance


def test_the_descriptor_table_is_its_own() -> None:
    limit, base = struct.unpack_from("<HQ", CODE, target("0f0115"))

    assert limit == 4 * 8 - 1
    assert base == PAGE + 0x60
    assert base % 8 == 0


def descriptor(selector: int) -> dict[str, int]:
    """Source: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 3, 3.4.5."""
    _, base = struct.unpack_from("<HQ", CODE, target("0f0115"))
    value: int = struct.unpack_from("<Q", CODE, base - PAGE + selector)[0]
    return {
        "base": value >> 16 & 0xFF_FFFF | value >> 56 << 24,
        "limit": value & 0xFFFF | value >> 32 & 0xF_0000,
        "accessed": value >> 40 & 1,
        "type": value >> 41 & 7,
        "is_segment": value >> 44 & 1,
        "privilege": value >> 45 & 3,
        "present": value >> 47 & 1,
        "long": value >> 53 & 1,
        "big": value >> 54 & 1,
        "pages": value >> 55 & 1,
    }


FLAT = {"base": 0, "limit": 0xF_FFFF, "accessed": 1, "is_segment": 1, "privilege": 0, "present": 1}


def test_selector_0x10_is_flat_64_bit_code() -> None:
    assert descriptor(0x10) == {**FLAT, "type": 5, "long": 1, "big": 0, "pages": 1}


def test_selector_0x18_is_flat_data() -> None:
    assert descriptor(0x18) == {**FLAT, "type": 1, "long": 0, "big": 1, "pages": 1}


def test_the_stack_is_the_rest_of_the_page() -> None:
    assert target("488d25") == 4096


def test_the_far_return_goes_to_what_follows_it() -> None:
    following = CODE.index(bytes.fromhex("48cb")) + 2

    assert target("488d05") == following
    assert CODE[following : following + 2] == bytes.fromhex("48be")


def test_the_kernel_gets_its_boot_params_in_rsi() -> None:
    at = CODE.index(bytes.fromhex("48be"))

    assert struct.unpack_from("<Q", CODE, at + 2) == (PARAMS,)


def test_it_jumps_to_the_kernel() -> None:
    assert struct.unpack_from("<Q", CODE, target("ff25")) == (KERNEL,)


@pytest.mark.parametrize("address", [0x10_0000, 0xFFFF_F000, 0x1_0000_0000, 0xF_FFFF_FFFF_F000])
def test_only_the_tables_address_depends_on_where_it_lies(address: int) -> None:
    code = stub(address, KERNEL, PARAMS)

    assert len(code) == 0x80
    assert code[:0x58] == CODE[:0x58]
    assert struct.unpack_from("<Q", code, 0x58) == (address + 0x60,)
    assert code[0x60:] == CODE[0x60:]
