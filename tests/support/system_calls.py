# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs something in a process of its own that stops before each system call: the call is seen, and
let through, refused or made the process' last one.

Source: ptrace(2), struct user_regs_struct in arch/x86/include/asm/user_64.h,
arch/x86/entry/syscalls/syscall_64.tbl for the numbers.
"""

import ctypes
import os
import signal
import struct
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

_TRACEME, _GETREGS, _SETREGS, _SYSCALL, _SETOPTIONS = 0, 12, 13, 24, 0x4200
_SYSGOOD, _EXITKILL = 1, 1 << 20
_STOPPED_BY_CALL = signal.SIGTRAP | 0x80

_REGISTERS = struct.Struct("<27Q")
_RAX, _CALL = 10, 15
_ARGUMENTS = (14, 13, 12, 7, 9, 8)  # rdi, rsi, rdx, r10, r8, r9
_NO_CALL = (1 << 64) - 1


class Number(IntEnum):
    """The system calls that tests know of."""

    READ = 0
    WRITE = 1
    OPEN = 2
    FSTAT = 5
    FLOCK = 73
    FTRUNCATE = 77
    RENAME = 82
    MKDIR = 83
    RMDIR = 84
    UNLINK = 87
    SYMLINK = 88
    CHMOD = 90
    FCHMOD = 91
    KEXEC_LOAD = 246
    OPENAT = 257
    MKDIRAT = 258
    UNLINKAT = 263
    RENAMEAT = 264
    SYMLINKAT = 266
    FCHMODAT = 268
    RENAMEAT2 = 316
    KEXEC_FILE_LOAD = 320
    PREADV2 = 327


CHANGES = frozenset(Number) - {
    *(Number.READ, Number.PREADV2, Number.FSTAT, Number.FLOCK),
    *(Number.KEXEC_LOAD, Number.KEXEC_FILE_LOAD),
}
"""Those after which files may be other than before: a kill in between comes to the same as one
right before the next of these."""


@dataclass(frozen=True)
class SystemCall:
    """A call that is about to be made, with its six arguments as the processor has them."""

    pid: int
    number: int
    arguments: tuple[int, ...]

    def memory(self, address: int, size: int) -> bytes:
        """What the process has there."""
        with open(f"/proc/{self.pid}/mem", "rb", buffering=0) as memory:
            memory.seek(address)
            return memory.read(size)

    def name_of(self, fd: int) -> str:
        """The path behind one of the process' descriptors."""
        return os.readlink(f"/proc/{self.pid}/fd/{fd}")

    def text(self, address: int) -> str:
        """The string there, which is a name and so no longer than a page."""
        size = 4096 - address % 4096  # what is after it may not be there
        return os.fsdecode(self.memory(address, size).partition(b"\0")[0])


class Kill:
    """An answer to a call: the process does not get to make it, nor anything after it."""


Answer = type[Kill] | int | None
"""None lets a call through; a number is the errno that it fails with, 0 that it did nothing and
succeeded."""


@dataclass(frozen=True)
class Outcome:
    """How a process ended: -9 where it was killed; and what `work` returned, if it did."""

    status: int
    said: str


def run(work: Callable[[], str | None], at: Callable[[SystemCall], Answer]) -> Outcome:
    """Have `work` done in a copy of this process, and ask `at` before each of its system calls."""
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        # Python 3.12 and later, of threads that the copy does not have: it does without them.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        _be_traced(work, writer)
    os.close(writer)
    try:
        status = _follow(pid, at)
    finally:
        with open(reader, "rb") as said:
            text = said.read()
    return Outcome(os.waitstatus_to_exitcode(status), text.decode())


def _be_traced(work: Callable[[], str | None], writer: int) -> None:
    status = 1
    try:
        _ptrace(_TRACEME, 0)
        os.kill(os.getpid(), signal.SIGSTOP)
        text = work()
        os.write(writer, (text or "").encode())
        status = 0
    except Exception:  # noqa: BLE001 # whatever it is, it is shown, and only this process ends
        traceback.print_exc()
    finally:
        os._exit(status)  # nothing of the test's own is done twice


def _follow(pid: int, at: Callable[[SystemCall], Answer]) -> int:
    entering, answer = True, None
    try:
        os.waitpid(pid, 0)
        _ptrace(_SETOPTIONS, pid, _SYSGOOD | _EXITKILL)
        passed_on = 0
        while True:
            _ptrace(_SYSCALL, pid, passed_on)
            _, status = os.waitpid(pid, 0)
            if not os.WIFSTOPPED(status):
                return status
            passed_on = 0
            if os.WSTOPSIG(status) != _STOPPED_BY_CALL:
                passed_on = os.WSTOPSIG(status)
                continue
            if entering:
                answer = _asked(pid, at)
            elif isinstance(answer, int):
                _set(pid, _RAX, -answer % (1 << 64))
            entering = not entering
            if answer is Kill:
                break
    except BaseException:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise
    os.kill(pid, signal.SIGKILL)
    return os.waitpid(pid, 0)[1]


def _asked(pid: int, at: Callable[[SystemCall], Answer]) -> Answer:
    registers = _registers(pid)
    arguments = tuple(registers[each] for each in _ARGUMENTS)
    answer = at(SystemCall(pid, registers[_CALL], arguments))
    if isinstance(answer, int):
        _set(pid, _CALL, _NO_CALL)
    return answer


def _registers(pid: int) -> tuple[int, ...]:
    buffer = ctypes.create_string_buffer(_REGISTERS.size)
    _ptrace(_GETREGS, pid, buffer)
    return _REGISTERS.unpack(buffer.raw)


def _set(pid: int, register: int, value: int) -> None:
    registers = list(_registers(pid))
    registers[register] = value
    _ptrace(_SETREGS, pid, ctypes.create_string_buffer(_REGISTERS.pack(*registers)))


_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.restype = ctypes.c_long


def _ptrace(request: int, pid: int, data: "ctypes.Array[ctypes.c_char] | int" = 0) -> None:
    value = ctypes.c_void_p(data) if isinstance(data, int) else data
    if _libc.ptrace(ctypes.c_long(request), ctypes.c_long(pid), None, value) < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"ptrace: {os.strerror(number)}")
