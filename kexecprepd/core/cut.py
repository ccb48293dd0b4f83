# SPDX-License-Identifier: LGPL-2.1-or-later
"""Which memory a kernel's command line takes away from it: mem= and memmap=.

Source: parse_memopt() and parse_memmap_one() in arch/x86/kernel/e820.c, memparse() in
lib/cmdline.c.
"""

import re

from ..abi.efi import PAGE_SIZE, U64
from .cmdline import words
from .intervals import Interval, outside, union

_NUMBER = re.compile(r"(0x[0-9a-f]+|0[0-7]*|[1-9][0-9]*)([kmgtpe]?)", re.IGNORECASE)
_UNITS = "kmgtpe"
_LONGEST = 2047
"""Characters of a command line, COMMAND_LINE_SIZE of arch/x86/include/asm/setup.h without the NUL:
the kernel cuts off the rest."""
_EVERYTHING = Interval(0, U64)


def cut_by(cmdline: str) -> tuple[Interval, ...]:
    """The addresses that a kernel with this command line does not use as System RAM, whatever its
    memory map says: whole pages, ascending, neither overlapping nor touching.

    An option that the kernel refuses, or that this does not understand, cuts nothing.
    """
    cut: tuple[Interval, ...] = ()
    for word in words(cmdline[:_LONGEST]):
        name, _, value = word.partition("=")
        if name == "mem":
            cut = _upwards(cut, value)
        elif name == "memmap":
            for each in value.split(","):
                cut = _memmap(cut, each)
    return cut


def _memmap(cut: tuple[Interval, ...], value: str) -> tuple[Interval, ...]:
    if value == "exactmap":
        return (_EVERYTHING,)
    size, rest = _parse(value)
    if size is None or not rest:
        return _upwards(cut, value)
    start, _ = _parse(rest[1:])
    if not size or start is None or rest[0] not in "@#$!%":
        return cut
    first, last = start, start + size - 1
    if rest[0] == "@":  # given back: only what is whole
        whole = Interval(
            -(-first // PAGE_SIZE) * PAGE_SIZE, (last + 1) // PAGE_SIZE * PAGE_SIZE - 1
        )
        given = union((whole,))  # nothing, where no page is whole
        return tuple(part for each in cut for part in outside(given, each))
    return union((*cut, _pages(first, last)))


def _upwards(cut: tuple[Interval, ...], value: str) -> tuple[Interval, ...]:
    """With everything from a size on."""
    size, _ = _parse(value)
    return union((*cut, _pages(size, U64))) if size else cut


def _pages(first: int, last: int) -> Interval:
    """All pages that are touched: what is left of one is no page of RAM."""
    return Interval(first // PAGE_SIZE * PAGE_SIZE, min(last | PAGE_SIZE - 1, U64))


def _parse(text: str) -> tuple[int | None, str]:
    """The number that a text begins with, in bytes, and what follows it."""
    match = _NUMBER.match(text)
    if match is None:
        return None, text
    digits, unit = match[1].lower(), match[2].lower()
    base = 16 if digits.startswith("0x") else 8 if digits.startswith("0") else 10
    shift = 10 * (_UNITS.index(unit) + 1) if unit else 0
    return int(digits, base) << shift & U64, text[match.end() :]
