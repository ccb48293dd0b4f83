# SPDX-License-Identifier: LGPL-2.1-or-later
"""How things look on the screen: JSON as systemd's tools have it, tables, sizes and colours."""

import json
import locale
import os
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from ..core.finding import Detail, Finding, kinds

_COLOURS = {"ready": "32", "degraded": "33", "invalid": "31", "unsupported": "90"}
_COLOURS |= {"error": "31", "warning": "33", "info": "90", "lost": "31"}


def print_json(value: Any, mode: str) -> None:
    """Print one JSON value: on one line for `short`, over many for `pretty`."""
    pretty = mode == "pretty"
    separators = None if pretty else (",", ":")
    print(json.dumps(value, indent=8 if pretty else None, separators=separators), flush=True)


def coloured(word: str) -> str:
    """A state or severity in its colour, where standard output is a screen that wants colours."""
    plain = "NO_COLOR" in os.environ or os.environ.get("TERM") == "dumb"
    if plain or word not in _COLOURS or not sys.stdout.isatty():
        return word
    return f"\033[{_COLOURS[word]}m{word}\033[0m"


def table(heading: Sequence[str], rows: Sequence[Sequence[str]], right: frozenset[int]) -> str:
    """Rows below a heading, in columns as wide as they need; the columns in `right` end flush."""
    lines = [heading, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(heading))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def print_findings(findings: Iterable[Finding]) -> None:
    """Each kind of finding once, with what to do about it and the numbers of each case."""
    for kind in kinds(findings):
        print(f"{coloured(kind.first.severity)}: {kind.message} [{kind.first.code}]")
        print(f"    {kind.first.hint}")
        for finding in kind.findings:
            numbers = [f"{name}={_detail(name, value)}" for name, value in finding.details.items()]
            if numbers:
                print(f"    {', '.join(numbers)}")


def _detail(name: str, value: Detail) -> str:
    counted = name.endswith(("region", "range", "pages", "count"))
    return str(value) if counted or isinstance(value, str) else f"{value:#x}"


def size(count: int) -> str:
    """A number of bytes as `ls -h` would have it: 4.0K, 640K, 1.5G."""
    if count < 1024:
        return f"{count}B"
    value = float(count)
    for unit in "KMGTPE":
        value /= 1024
        if value < 1024 or unit == "E":
            return f"{value:.1f}{unit}" if value < 10 else f"{value:.0f}{unit}"
    raise AssertionError("unreachable")


def plural(count: int, noun: str) -> str:
    """`1 region`, `2 regions`."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def unicode_wanted() -> bool:
    """Whether standard output and the locale can both do more than ASCII."""
    return (sys.stdout.encoding or "").lower().replace("-", "") == "utf8" and locale.nl_langinfo(
        locale.CODESET
    ).upper() == "UTF-8"


def printable(text: str, *, unicode: bool = False) -> str:
    """Text that any terminal takes: what is unprintable, or not ASCII where it must be, escaped."""
    return "".join(
        character
        if character.isprintable() and (unicode or character.isascii())
        else character.encode("unicode-escape").decode("ascii")
        for character in text
    )
