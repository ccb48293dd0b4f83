# SPDX-License-Identifier: LGPL-2.1-or-later
"""Chooses between the two system calls that load a kernel: kexec_load(2) and kexec_file_load(2)."""

import errno
from enum import StrEnum

from ..reading.kernel import System, signed_only
from . import fileload, kexec
from .errors import LoadError, Refused


class Call(StrEnum):
    """As --syscall has them."""

    AUTO = "auto"
    LOAD = "load"
    """kexec_load(2): what is loaded, and what is handed over, is placed here."""
    FILE = "file"
    """kexec_file_load(2): the kernel does both, and checks signatures where it has to."""


_ELSEWHERE = (errno.EACCES, errno.ENOSYS)
"""What kexec_load(2) says where IMA's policy is against it, or the kernel is built without it."""


def in_turn(asked: Call, system: System, *, handover: bool, efi: bool) -> tuple[Call, ...]:
    """What to call, the next one where the one before was refused for what it is.

    `handover` is whether something may be preserved over a kexec, which kexec_load(2) drops;
    without `efi` it is to be left out, which kexec_file_load(2) cannot.
    """
    if asked is not Call.AUTO:
        return (asked,)
    if not efi:
        return (Call.LOAD,)
    if handover or signed_only(system):
        return (Call.FILE,)
    return (Call.LOAD, Call.FILE)


def may_be_other(error: Refused) -> bool:
    """Whether kexec_file_load(2) may do what kexec_load(2) was refused."""
    return error.number in _ELSEWHERE


def unload_any() -> None:
    """Forget the kernel that is loaded, whichever call has loaded it. Raises LoadError.

    kexec_file_load(2) does it also where lockdown or IMA is against the other one.
    """
    try:
        fileload.unload()
    except LoadError:
        kexec.unload()
