# SPDX-License-Identifier: LGPL-2.1-or-later
"""Makes a system call that libc has no function for, and gives the kernel's refusal words."""

import ctypes
import errno
import os
from collections.abc import Mapping

from .errors import LoadError, Refused

REPORT = "Report this, with the kernel's version and what --dry-run prints."
"""The hint for what should not have happened."""


def make(number: int, *arguments: object) -> int:
    """Call x86-64's system call of a number; its errno, 0 where it succeeds.

    The arguments are ctypes' own, each of the width that the kernel takes. Raises LoadError.
    """
    if ctypes.sizeof(ctypes.c_void_p) != 8:  # its kernel has another call by that number
        raise LoadError("This is a 32-bit Python.", "Use the distribution's own for x86-64.")
    syscall = ctypes.CDLL(None, use_errno=True).syscall
    syscall.restype = ctypes.c_long
    done = syscall(ctypes.c_long(number), *arguments)
    return 0 if done == 0 else ctypes.get_errno()


def refused(number: int, known: Mapping[int, tuple[str, str]], call: str = "") -> Refused:
    """What the kernel means by an errno: `known` has a reason and a hint by it.

    `call` is named where another one might be meant.
    """
    if number not in known:
        told = f"{os.strerror(number).lower()}{f' ({call})' if call else ''}"
        return Refused(number, f"The kernel refused it: {told}.", REPORT)
    reason, hint = known[number]
    name = f"{errno.errorcode[number]}{f' of {call}' if call else ''}"
    return Refused(number, f"The kernel refused it: {reason} ({name}).", hint)
