# SPDX-License-Identifier: LGPL-2.1-or-later
"""The few instructions between the old kernel's last and the new kernel's first.

kexec enters in 64-bit mode with memory mapped 1:1, interrupts off, and neither a descriptor table
nor a stack to rely on. The boot protocol wants a flat code segment at selector 0x10, a flat data
segment at 0x18, and the address of struct boot_params in rsi.

Sources: Documentation/arch/x86/boot.rst (64-bit boot protocol),
arch/x86/kernel/relocate_kernel_64.S, arch/x86/include/asm/segment.h (__BOOT_CS, __BOOT_DS);
encodings: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2.
"""

import struct

from ..abi.efi import PAGE_SIZE

SIZE = 0x80
"""Bytes, code and data. The rest of the page is the stack."""

_TARGET = 0x48  # where the new kernel begins, a u64
_GDTR = 0x56  # limit u16, base u64: the base, like the table after it, is aligned
_GDT = 0x60
_CODE = 0x00AF_9B00_0000_FFFF  # 64-bit, execute/read, accessed, 4 GiB; selector 0x10
_DATA = 0x00CF_9300_0000_FFFF  # read/write, accessed, 4 GiB; selector 0x18


def stub(address: int, entry: int, boot_params: int) -> bytes:
    """The stub for a page at `address`: enters the kernel at `entry` with `boot_params`.

    All three are physical addresses; the stub begins with its first instruction.
    """
    code = bytearray()

    def relative(opcode: str, offset: int) -> None:
        """An instruction whose operand is what lies at `offset`, by its distance from rip."""
        encoded = bytes.fromhex(opcode)
        following = len(code) + len(encoded) + 4
        code.extend(encoded + struct.pack("<i", offset - following))

    code += bytes.fromhex("fa")  # cli
    code += bytes.fromhex("fc")  # cld
    relative("0f 01 15", _GDTR)  # lgdt [rip + _GDTR]
    code += bytes.fromhex("b8 18 00 00 00")  # mov eax, 0x18    the data segment
    code += bytes.fromhex("8e d8")  # mov ds, eax
    code += bytes.fromhex("8e c0")  # mov es, eax
    code += bytes.fromhex("8e d0")  # mov ss, eax
    relative("48 8d 25", PAGE_SIZE)  # lea rsp, [rip + end of the page]
    relative("48 8d 05", len(code) + 7 + 5)  # lea rax, [rip + after lretq]
    code += bytes.fromhex("6a 10")  # push 0x10        the code segment
    code += bytes.fromhex("50")  # push rax
    code += bytes.fromhex("48 cb")  # lretq            pops rip, then cs
    code += bytes.fromhex("48 be") + struct.pack("<Q", boot_params)  # mov rsi, boot_params
    code += bytes.fromhex("31 c0")  # xor eax, eax     each clears all 64 bits
    code += bytes.fromhex("31 db")  # xor ebx, ebx     0: the processor that boots
    code += bytes.fromhex("31 ed")  # xor ebp, ebp
    code += bytes.fromhex("31 ff")  # xor edi, edi
    relative("ff 25", _TARGET)  # jmp [rip + _TARGET]

    assert len(code) <= _TARGET
    code += bytes.fromhex("cc") * (_TARGET - len(code))  # int3: not reached
    code += struct.pack("<Q", entry)
    code += bytes(_GDTR - len(code))
    code += struct.pack("<HQ", SIZE - _GDT - 1, address + _GDT)
    code += struct.pack("<4Q", 0, 0, _CODE, _DATA)  # selectors 0x00, 0x08, 0x10 and 0x18
    return bytes(code)
