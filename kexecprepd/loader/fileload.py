# SPDX-License-Identifier: LGPL-2.1-or-later
"""The one module that knows the system call kexec_file_load(2).

The kernel reads the files, checks their signatures where it has to, places everything, and packs
EFI by itself. It takes descriptors: that of the very file, by which IMA knows it, or one of memory
for what is only a part of a file, or of several.

As with kexec_load(2), an error leaves the kernel that was loaded before as it was.

Source: kernel/kexec_file.c, arch/x86/kernel/kexec-bzimage64.c, arch/x86/kernel/machine_kexec_64.c.
"""

import ctypes
import errno
import os
from collections.abc import Sequence
from contextlib import ExitStack

from . import kernel_call
from .errors import LoadError, Refused
from .files import Part
from .plan import EMPTY_ARCHIVE

_NR_KEXEC_FILE_LOAD = 320
"""Of x86-64. Source: arch/x86/entry/syscalls/syscall_64.tbl."""

_UNLOAD = 1 << 0
"""KEXEC_FILE_UNLOAD of include/uapi/linux/kexec.h."""


def load(linux: Part, initrds: Sequence[Part], initrd: memoryview | None, cmdline: str) -> None:
    """Load a kernel in place of what is loaded now. Raises LoadError.

    `initrd` is what `initrds` are together. Without any an empty one is handed over: kernels since
    6.1 take what the running one's boot loader had left for it, in memory long in other use.
    """
    line = cmdline.encode("utf-8", "surrogateescape")
    if b"\0" in line:
        raise LoadError("The command line has a NUL in it.", "Leave that out: it would end there.")
    with ExitStack() as stack:
        kernel_fd = linux.file.fd
        if not linux.is_whole:
            kernel_fd = _in_memory("linux", linux.head(linux.size), stack)
        if len(initrds) == 1 and initrds[0].is_whole:
            initrd_fd = initrds[0].file.fd
        else:
            initrd_fd = _in_memory("initrd", EMPTY_ARCHIVE if initrd is None else initrd, stack)
        _call(kernel_fd, initrd_fd, line + b"\0", 0)


def unload() -> None:
    """Forget the kernel that is loaded, if there is one. Raises LoadError.

    Neither lockdown nor IMA has anything against it.
    """
    _call(-1, -1, None, _UNLOAD)


def _in_memory(name: str, content: bytes | memoryview, stack: ExitStack) -> int:
    try:
        fd = os.memfd_create(name, os.MFD_CLOEXEC)
        stack.callback(os.close, fd)
        rest = memoryview(content)
        while len(rest):
            rest = rest[os.write(fd, rest) :]
        os.lseek(fd, 0, os.SEEK_SET)
    except OSError as error:
        sentence = f"There is no memory for the {name} to be handed to the kernel."
        raise LoadError(sentence, "Stop what uses memory, or take smaller files.") from error
    return fd


def _call(kernel_fd: int, initrd_fd: int, cmdline: bytes | None, flags: int) -> None:
    number = kernel_call.make(
        _NR_KEXEC_FILE_LOAD,
        ctypes.c_int(kernel_fd),
        ctypes.c_int(initrd_fd),
        ctypes.c_ulong(len(cmdline or b"")),
        ctypes.c_char_p(cmdline),
        ctypes.c_ulong(flags),
    )
    if number:
        raise refusal(number)


def refusal(number: int) -> Refused:
    """What the kernel means by an errno of kexec_file_load(2)."""
    return kernel_call.refused(number, _WORDS, "kexec_file_load")


_SIGNED = (
    "Take a kernel that is signed with a key that this kernel trusts: the distribution's own, or "
    "one whose certificate is in the firmware's db. Of a unified kernel image its .linux has to be "
    "signed itself."
)
_MEMORY = "Stop what uses memory, or take a smaller initrd."

_WORDS = {
    errno.EPERM: (
        "this process may not load kernels, or the kernel's signature is missing while the system "
        "is locked down",
        "It takes CAP_SYS_BOOT outside of containers, kernel.kexec_load_disabled at 0, and loads "
        f"left in kernel.kexec_load_limit_reboot: `kexecprepctl check` tells which. {_SIGNED}",
    ),
    errno.EACCES: ("its security policy (IMA or an LSM) does not take this file", _SIGNED),
    errno.ENOKEY: ("the kernel is signed with a key that it does not trust", _SIGNED),
    errno.EKEYREJECTED: ("the kernel's signature is not that of its content", _SIGNED),
    errno.ENODATA: ("the kernel is not signed", _SIGNED),
    errno.EBADMSG: ("the kernel's signature is damaged", _SIGNED),
    errno.ELIBBAD: ("the kernel's signature is damaged", _SIGNED),
    errno.ENOPKG: ("the kernel's signature is of a kind that it does not know", _SIGNED),
    errno.ENOEXEC: (
        "it does not take this kernel",
        "Give the bzImage of a 64-bit x86 kernel, as distributions install it.",
    ),
    errno.EBUSY: ("another kernel is being loaded at this moment", "Try again when that is done."),
    errno.EINVAL: (
        "it finds the command line too long, or has no such call",
        "The running kernel's own limit counts here, 2047 bytes: shorten the command line.",
    ),
    errno.ENOMEM: ("there is not enough free memory for the new kernel and its initrd", _MEMORY),
    errno.EADDRNOTAVAIL: ("it finds no place in memory for the new kernel", _MEMORY),
    errno.EFBIG: ("a file is larger than it takes", "Take a smaller initrd."),
    errno.EOPNOTSUPP: (
        "kexec does not work on this processor with TDX, because of an erratum",
        "Switch TDX off in the firmware's setup, or reboot instead.",
    ),
    errno.ENOSYS: (
        "it was built without kexec_file_load(2)",
        "--syscall=load loads by kexec_load(2), where that is allowed.",
    ),
}
