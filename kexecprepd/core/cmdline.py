# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a kernel command line says of EFI."""


def efi_options(cmdline: str) -> list[str]:
    """The values of every efi= on a kernel command line, in their order."""
    words = (word.partition("=") for word in cmdline.split())
    return [option for name, _, value in words if name == "efi" for option in value.split(",")]


def runtime_off_option(cmdline: str | None) -> str | None:
    """The command-line option that switches the runtime services off: noefi or efi=noruntime.

    The kernel takes the words in turn, and efi=runtime takes either back: parse_efi_cmdline() in
    drivers/firmware/efi/efi.c.
    """
    off = None
    for word in (cmdline or "").split():
        if word == "noefi":
            off = "noefi"
        elif word.startswith("efi="):
            options = efi_options(word)
            if "noruntime" in options:
                off = off or "efi=noruntime"
            if "runtime" in options:
                off = None
    return off
