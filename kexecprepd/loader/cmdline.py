# SPDX-License-Identifier: LGPL-2.1-or-later
"""Makes a kernel's command line of others: the running kernel's, an image's own, the user's."""

import re
from pathlib import Path

from ..reading import small
from ..reading.tree import words_of
from .errors import LoadError

# A parameter as the kernel parts them (lib/cmdline.c): blanks within quotes belong to it.
_PARAMETER = re.compile(r'(?:[^\s"]+|"[^"]*(?:"|$))+')
_OF_BOOT_LOADERS = ("BOOT_IMAGE=", "initrd=")
"""By which a boot loader tells what it has loaded, and where the initrd is."""


def without_boot_loaders(cmdline: str) -> str:
    """A command line without what a boot loader says of its own."""
    parameters = _PARAMETER.findall(cmdline.strip())
    return " ".join(each for each in parameters if not each.startswith(_OF_BOOT_LOADERS))


def running(root: Path) -> str:
    """The running kernel's, without what the boot loader said of its own. Raises LoadError."""
    path = root / "proc/cmdline"
    try:
        text = small.contents(path).decode("utf-8", "surrogateescape")
    except OSError as error:
        sentence = f"{path} cannot be read: {words_of(error)}."
        raise LoadError(sentence, "Give the command line with --append.") from error
    return without_boot_loaders(text)


def joined(*parts: str | None) -> str:
    """Several, one after the other; what is empty or None adds no blank."""
    return " ".join(part for part in parts if part)
