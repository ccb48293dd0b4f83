# SPDX-License-Identifier: LGPL-2.1-or-later
"""The one module that knows the system call kexec_load(2).

A load cannot be half done. Whatever can be wrong with files, memory or permissions is found
before the call: a `Plan` exists only whole, and nothing here asks or reads anything more. The
call itself builds the new image beside the old one, and puts it in the old one's place with a
single exchange once nothing can fail any more: after an error the kernel that was loaded before
is still loaded, as it was. (This holds for the ordinary image that is loaded here; to load a
crash kernel, the kernel drops the old one first.)

Source: kernel/kexec.c (do_kexec_load, kexec_load_check), kernel/kexec_core.c
(sanity_check_segment_list, kexec_load_permitted), arch/x86/kernel/machine_kexec_64.c.
"""

import ctypes
import errno

from . import kernel_call
from .errors import Refused
from .plan import Plan

_NR_KEXEC_LOAD = 246
"""Of x86-64. Source: arch/x86/entry/syscalls/syscall_64.tbl."""

_KEXEC_ARCH_X86_64 = 62 << 16
"""KEXEC_ARCH_X86_64, the only flag that is set. Source: include/uapi/linux/kexec.h."""


class _Segment(ctypes.Structure):
    """struct kexec_segment of include/uapi/linux/kexec.h."""

    _fields_ = (
        ("buf", ctypes.c_void_p),
        ("bufsz", ctypes.c_size_t),
        ("mem", ctypes.c_void_p),
        ("memsz", ctypes.c_size_t),
    )


def load(plan: Plan) -> None:
    """Load what the plan says in place of what is loaded now. Raises LoadError."""
    buffers = [_pointer(segment.data) for segment in plan.segments]
    segments = (_Segment * len(plan.segments))(
        *(
            _Segment(
                ctypes.cast(buffer, ctypes.c_void_p),
                len(segment.data),
                segment.address,
                segment.size,
            )
            for buffer, segment in zip(buffers, plan.segments, strict=True)
        )
    )
    _call(plan.entry, segments)


def _pointer(data: bytes | memoryview) -> "ctypes.c_char_p | ctypes.Array[ctypes.c_char]":
    """Into the bytes of the plan itself: an initrd is large, and is not copied."""
    if isinstance(data, bytes):
        return ctypes.c_char_p(data)
    return (ctypes.c_char * len(data)).from_buffer(data)


def unload() -> None:
    """Forget the kernel that is loaded, if there is one. Raises LoadError."""
    _call(0, (_Segment * 0)())


def _call(entry: int, segments: "ctypes.Array[_Segment]") -> None:
    number = kernel_call.make(
        _NR_KEXEC_LOAD,
        ctypes.c_ulong(entry),
        ctypes.c_ulong(len(segments)),
        segments,
        ctypes.c_ulong(_KEXEC_ARCH_X86_64),
    )
    if number:
        raise refusal(number)


def refusal(number: int) -> Refused:
    """What the kernel means by an errno of kexec_load(2)."""
    return kernel_call.refused(number, _WORDS)


_FILE_LOAD = "--syscall=file has the kernel load a signed one by itself, and pack EFI."

_WORDS = {
    errno.EPERM: (
        "this process may not load kernels",
        "It takes CAP_SYS_BOOT outside of containers, kernel.kexec_load_disabled at 0, loads left "
        "in kernel.kexec_load_limit_reboot, and no lockdown: `kexecprepctl check` tells which.",
    ),
    errno.EACCES: ("its security policy (IMA or an LSM) takes signed kernels only", _FILE_LOAD),
    errno.EBUSY: ("another kernel is being loaded at this moment", "Try again when that is done."),
    errno.EINVAL: (
        "it finds the segments too large, too many or overlapping",
        "All together must not exceed half of the memory: try a smaller initrd. "
        "--dry-run prints the segments.",
    ),
    errno.ENOMEM: (
        "there is not enough free memory for a copy of the new kernel and its initrd",
        "Stop what uses memory, or take a smaller initrd.",
    ),
    errno.EADDRNOTAVAIL: ("it finds an address that no segment may have", kernel_call.REPORT),
    errno.EOPNOTSUPP: (
        "kexec does not work on this processor with TDX, because of an erratum",
        "Switch TDX off in the firmware's setup, or reboot instead.",
    ),
    errno.ENOSYS: ("it was built without kexec_load(2)", _FILE_LOAD),
}
