# SPDX-License-Identifier: LGPL-2.1-or-later
"""Tells the newer of two versions, as boot loaders do.

Source: the UAPI Group's Version Format Specification (UAPI.10).
"""

import re
from functools import cmp_to_key

_OTHER = re.compile(r"[^0-9A-Za-z~.^-]+")
_DIGITS = re.compile(r"[0-9]*")
_LETTERS = re.compile(r"[A-Za-z]*")


def compare(first: str, second: str) -> int:
    """Below 0 where the first one is older, above 0 where it is newer, 0 where neither is."""
    while True:
        first, second = _skip(first), _skip(second)
        if older := _marked(first, second, "~"):
            return older
        if first[:1] == "~":
            first, second = first[1:], second[1:]
            continue
        if not first or not second:
            return bool(first) - bool(second)
        for mark in "-^.":
            if older := _marked(first, second, mark):
                return older
            if first[0] == mark:
                first, second = first[1:], second[1:]
                break
        else:
            order, first, second = _segment(first, second)
            if order:
                return order


def _skip(text: str) -> str:
    found = _OTHER.match(text)
    return text[found.end() :] if found else text


def _marked(first: str, second: str, mark: str) -> int:
    """Which one is older as it alone goes on with the mark, 0 where neither or both do."""
    return (second[:1] == mark) - (first[:1] == mark)


def _segment(first: str, second: str) -> tuple[int, str, str]:
    """How the next run of digits, or of letters, compares; and what comes after it."""
    numeric = first[0] in "0123456789" or second[0] in "0123456789"
    pattern = _DIGITS if numeric else _LETTERS
    one, two = (_match(pattern, text) for text in (first, second))
    rest = first[len(one) :], second[len(two) :]
    if numeric:
        # A number is newer than none, and numbers are compared without their leading zeros.
        ours = (bool(one), len(one.lstrip("0")), one.lstrip("0"))
        theirs = (bool(two), len(two.lstrip("0")), two.lstrip("0"))
        return (ours > theirs) - (ours < theirs), *rest
    return (one > two) - (one < two), *rest


def _match(pattern: "re.Pattern[str]", text: str) -> str:
    found = pattern.match(text)
    return found[0] if found else ""


key = cmp_to_key(compare)
"""For sorted(): from the oldest to the newest."""
