# SPDX-License-Identifier: LGPL-2.1-or-later
"""Has the kernel itself drop what is no event of a block of memory, so that it wakes nobody.

libudev's own filters are for what udev sends, and let all of the kernel's events through to the
process: there are some on a machine at rest, and thousands where disks or interfaces come and go.

Sources: lib/kobject_uevent.c (an event begins with `ACTION@DEVPATH`), drivers/base/memory.c (the
devices are /devices/system/memory/memoryN), Documentation/networking/filter.rst for the program.
"""

import ctypes
import os
import socket
import struct

_SO_ATTACH_FILTER = 26  # include/uapi/asm-generic/socket.h
_INSTRUCTION = struct.Struct("=HBBI")  # struct sock_filter: code, jt, jf, k
_PROGRAM = struct.Struct("@HP")  # struct sock_fprog: its length in instructions, its address

_LOAD_WORD = 0x20  # BPF_LD | BPF_W | BPF_ABS: from offset k; of less than that nothing is left
_LOAD_BYTE = 0x30  # BPF_LD | BPF_B | BPF_ABS
_LOAD_WORD_AFTER = 0x40  # BPF_LD | BPF_W | BPF_IND: from offset k + X
_SET_X = 0x01  # BPF_LDX | BPF_W | BPF_IMM
_IF_EQUAL = 0x15  # BPF_JMP | BPF_JEQ | BPF_K: pass over jt instructions, or else over jf
_RETURN = 0x06  # BPF_RET | BPF_K: how many bytes are kept of the message
_ALL = 0xFFFFFFFF

_ACTION_LENGTHS = (3, 4, 6, 7)
"""Of add; move and bind; remove, change, online and unbind; offline."""

_DEVICES = b"/devices/system/memory/m"
"""What the blocks' paths begin with; whole words of four bytes, as they are compared so."""

_OF_UDEV = b"libu"
"""What udev's own messages begin with; those are left to libudev."""


def attach(fd: int) -> None:
    """Drop the kernel's events of anything but memory from what a socket receives from now on.

    Raises OSError where the kernel does not take the filter.
    """
    program = ctypes.create_string_buffer(_program())
    length = len(program) // _INSTRUCTION.size
    with socket.socket(fileno=os.dup(fd)) as same:
        same.setsockopt(
            *(socket.SOL_SOCKET, _SO_ATTACH_FILTER),
            _PROGRAM.pack(length, ctypes.addressof(program)),
        )


def _program() -> bytes:
    words = [_DEVICES[at : at + 4] for at in range(0, len(_DEVICES), 4)]
    comparison = 2 + 3 * len(_ACTION_LENGTHS) + 1  # where each of these parts begins
    keep = comparison + 2 * len(words)
    drop = keep + 1
    code = [(_LOAD_WORD, 0, 0, 0), (_IF_EQUAL, keep - 2, 0, _number(_OF_UDEV))]
    for length in _ACTION_LENGTHS:  # how far it is to the path
        code += [(_SET_X, 0, 0, length), (_LOAD_BYTE, 0, 0, length)]
        code += [(_IF_EQUAL, comparison - len(code) - 1, 0, ord("@"))]
    code += [(_RETURN, 0, 0, 0)]
    for number, word in enumerate(words):
        code += [(_LOAD_WORD_AFTER, 0, 0, 1 + 4 * number)]
        code += [(_IF_EQUAL, 0, drop - len(code) - 1, _number(word))]
    code += [(_RETURN, 0, 0, _ALL), (_RETURN, 0, 0, 0)]
    return b"".join(_INSTRUCTION.pack(*each) for each in code)


def _number(word: bytes) -> int:
    """As the program has it after loading it: a message is in network byte order to it."""
    return int.from_bytes(word, "big")
