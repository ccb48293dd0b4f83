# SPDX-License-Identifier: LGPL-2.1-or-later
"""Where the view has no effect: what loads a kernel without reading the two folders of sysfs."""

import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..core.cmdline import words
from ..reading import proc

_KEXEC_SINCE = (2, 0, 27)
"""The kexec-tools that try kexec_file_load(2) first (kexec/kexec.c, do_kexec_syscall)."""

_SYSTEMD_SINCE = (261,)
"""The systemd whose `systemctl kexec` does so."""

_SECONDS = 10
"""For a program that is asked for its version."""

_UNSEEN = "by kexec_file_load(2) first, which takes no notice of the view"


def notes(root: Path, command: Sequence[str] = ()) -> Iterator[str]:
    """Sentences about this system, and about the command that is to load a kernel; where that is
    some script, or not known, about what it may call.
    """
    program = Path(command[0]).name if command else ""
    if program == "kexec":
        yield from _of_kexec(command)
    elif program == "systemctl":
        yield from _of_systemctl(command[0])
    else:
        yield from _of_kexec(("kexec",))
        yield from _of_systemctl("systemctl")
    try:
        cmdline = proc.text(root, "cmdline")
    except OSError:
        return  # a tree that has none
    if "add_efi_memmap" in words(cmdline):
        yield (
            "This kernel was booted with add_efi_memmap: then kexec-tools read /proc/iomem for the "
            "memory map, and not the view. Boot it without."
        )


def _of_kexec(command: Sequence[str]) -> Iterator[str]:
    if any(each == "--kexec-syscall" or re.fullmatch("-[a-z]*c", each) for each in command):
        return
    if "-s" in command or "--kexec-file-syscall" in command:
        yield f"kexec -s loads {_UNSEEN.replace(' first', '')}: use -c in its place."
        return
    version = _version(command[0], r"kexec-tools ([0-9]+(?:\.[0-9]+)*)")
    if version >= _KEXEC_SINCE:
        shown = ".".join(map(str, version))
        yield f"kexec-tools {shown} loads {_UNSEEN}: give kexec the option -c."


def _of_systemctl(program: str) -> Iterator[str]:
    version = _version(program, "systemd ([0-9]+)")
    if version >= _SYSTEMD_SINCE:
        yield f"systemd {version[0]} loads {_UNSEEN}: load with `kexec -c -l` before it does."


def _version(program: str, pattern: str) -> tuple[int, ...]:
    """The numbers of a program's version; empty where it is not there, or says nothing like it."""
    path = shutil.which(program)
    if path is None:
        return ()
    try:
        done = subprocess.run(
            [path, "--version"], capture_output=True, text=True, timeout=_SECONDS, errors="replace"
        )
    except (OSError, subprocess.TimeoutExpired):
        return ()
    found = re.search(pattern, done.stdout)
    return tuple(map(int, found[1].split("."))) if found else ()
