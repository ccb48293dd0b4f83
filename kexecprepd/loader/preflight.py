# SPDX-License-Identifier: LGPL-2.1-or-later
"""Tells before a kernel is loaded whether the kernel will refuse it, and what to do then.

The kernel has one EPERM for all of this, and a permitted call counts against the limit of loads
even where it fails: so what is known beforehand is said beforehand, in words.

Sources: kernel/kexec.c (kexec_load_check), kernel/kexec_core.c (kexec_load_permitted).
"""

import os
import re
from pathlib import Path

from ..reading.kernel import System, file_load_obstacle, load_obstacle, system_of
from ..reading.small import text_or_none
from .errors import LoadError
from .syscall import Call

_CAP_SYS_BOOT = 22
"""Source: include/uapi/linux/capability.h."""

_REBOOT = "Only a reboot takes that back; kexec_file_load(2) is refused as well."

_HINTS = {
    "no-kexec": "Boot a kernel that was built with CONFIG_KEXEC, or reboot instead of kexec.",
    "load-disabled": _REBOOT,
    "no-loads-left": _REBOOT,
    "locked-down": (
        "Leave out --syscall=load: kexec_file_load(2) loads a signed kernel, and the kernel packs "
        "EFI by itself there."
    ),
}
"""What to do, by the codes of obstacles."""

_EFFECTIVE = re.compile(r"^CapEff:\s*([0-9a-f]+)$", re.MULTILINE)


def obstacle(
    system: System, machine: str, capabilities: int | None, call: Call = Call.LOAD
) -> LoadError | None:
    """Why a system call will be refused; None where nothing speaks against it.

    `machine` is as uname(2) has it; `capabilities` are the effective ones of this process as a
    bit mask, None where they are not known.
    """
    if machine != "x86_64":
        sentence = f"This loads kernels on x86-64 alone, and this is {machine}."
        return LoadError(sentence, "Use `kexec` of kexec-tools.")
    by_file = call is Call.FILE
    reason = file_load_obstacle(system) if by_file else load_obstacle(system)
    if reason is not None:
        name = "kexec_file_load(2)" if by_file else "kexec_load(2)"
        sentence = f"{name} would be refused: {reason.words}."
        return LoadError(sentence, _HINTS[reason.code])
    if capabilities is not None and not capabilities >> _CAP_SYS_BOOT & 1:
        sentence = "Only root may load or unload a kernel: it takes CAP_SYS_BOOT."
        return LoadError(sentence, "Use sudo.", denied=True)
    return None


def check(root: Path, call: Call = Call.LOAD) -> LoadError | None:
    """The obstacle on the system below `root`.

    Of another system's tree neither the processor nor this process' privileges count, and a tree
    that says nothing of kexec may be a recording that left it out.
    """
    system = system_of(root)
    if root == Path("/"):
        return obstacle(system, os.uname().machine, _capabilities(root), call)
    return obstacle(system, "x86_64", None, call)


def _capabilities(root: Path) -> int | None:
    # Where it is not told here, the system call itself will tell.
    found = _EFFECTIVE.search(text_or_none(root / "proc/self/status") or "")
    return int(found[1], 16) if found else None
