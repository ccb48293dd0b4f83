# SPDX-License-Identifier: LGPL-2.1-or-later
"""Reads NAME=value lines: os-release(5), a unified kernel image's .profile, GRUB's environment."""

import re
import shlex

_LINE = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_]*)=(.*)")


def shell(text: str) -> dict[str, str]:
    """Lines as a shell reads them, with quotes; a line that is none is left out."""
    found = {}
    for name, value in _lines(text):
        try:
            found[name] = " ".join(shlex.split(value, posix=True))
        except ValueError:  # a quote that is not closed
            continue
    return found


def grub(text: str) -> dict[str, str]:
    r"""GRUB's environment block: no quotes, but a backslash before what is to be taken as it is.

    Source: grub-core/lib/envblk.c.
    """
    return {name: re.sub(r"\\(.)", r"\1", value) for name, value in _lines(text)}


def _lines(text: str) -> list[tuple[str, str]]:
    matches = (_LINE.match(line) for line in text.splitlines())
    return [(found[1], found[2].rstrip()) for found in matches if found]
