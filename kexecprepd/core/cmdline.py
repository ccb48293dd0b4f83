# SPDX-License-Identifier: LGPL-2.1-or-later
"""The words of a kernel command line, and what they say of EFI."""

import re
from collections.abc import Iterator

_WORD = re.compile(r'(?:[^\s"]+|"[^"]*(?:"|$))+')


def words(cmdline: str | None) -> Iterator[str]:
    """The words that are for the kernel, without quotes: what follows `--` is for init.

    Source: next_arg() in lib/cmdline.c, parse_args() in kernel/params.c.
    """
    for word in _WORD.findall(cmdline or ""):
        if word == "--":
            return
        yield word.replace('"', "")


def efi_options(cmdline: str) -> list[str]:
    """The values of every efi= on a kernel command line, in their order."""
    told = (word.partition("=") for word in words(cmdline))
    return [option for name, _, value in told if name == "efi" for option in value.split(",")]


def runtime_off_option(cmdline: str | None) -> str | None:
    """The command-line option that switches the runtime services off: noefi or efi=noruntime.

    The kernel takes the words in turn, and efi=runtime takes either back: parse_efi_cmdline() in
    drivers/firmware/efi/efi.c.
    """
    off = None
    for word in words(cmdline):
        if word == "noefi":
            off = "noefi"
        elif word.startswith("efi="):
            options = efi_options(word)
            if "noruntime" in options:
                off = off or "efi=noruntime"
            if "runtime" in options:
                off = None
    return off
