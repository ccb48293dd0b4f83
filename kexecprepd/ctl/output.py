# SPDX-License-Identifier: LGPL-2.1-or-later
"""How things look on the screen: JSON as systemd's tools have it, notes, tables and sizes."""

import json
import locale
import sys
from argparse import Namespace
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..core.finding import Detail, Finding, kinds
from .terminal import fitted, styled, width

_COLOURS = {"ready": "green", "degraded": "yellow", "invalid": "red", "unsupported": "grey"}
_COLOURS |= {"error": "red", "warning": "yellow", "info": "grey", "lost": "red"}

_NARROW = 8
"""Columns that a cell has at least when it is cut."""


SCHEMA = 1
"""The number of all JSON schemas: another one once a member means something else, or is gone."""


def print_json(value: Mapping[str, Any], mode: str) -> None:
    """Print one JSON object: on one line for `short`, over many for `pretty`."""
    pretty = mode == "pretty"
    separators = None if pretty else (",", ":")
    numbered = {"schema": SCHEMA, **value}
    print(json.dumps(numbered, indent=8 if pretty else None, separators=separators), flush=True)


def wide(name: str, number: int | None) -> dict[str, Any]:
    """A member for a number of 64 bits, and one more for readers that have doubles alone, and
    would round it: the same in hexadecimal.
    """
    return {name: number, f"{name}-hex": None if number is None else f"{number:#x}"}


def finding_as_json(finding: Finding) -> dict[str, Any]:
    """One finding for programs."""
    details: dict[str, Any] = {}
    for name, value in finding.details.items():
        details |= {name: value} if isinstance(value, str) else wide(name, value)
    return {
        "severity": str(finding.severity),
        "code": finding.code,
        "message": finding.message,
        "hint": finding.hint,
        "details": details,
    }


def coloured(word: str) -> str:
    """A state or severity in its colour, where standard output is a screen that wants colours."""
    return styled(word, _COLOURS.get(word, ""), sys.stdout)


def note(sentence: str, *, quiet: bool = False) -> None:
    """Say what is good to know on standard error, unless nobody wants to."""
    if not quiet:
        print(fitted(f"note: {sentence}", width(sys.stderr)), file=sys.stderr, flush=True)


@dataclass(frozen=True, slots=True)
class Layout:
    """How tables are set: in how many columns of the screen (None: as many as they need), and
    whether they have a heading.
    """

    columns: int | None = None
    legend: bool = True


WHOLE = Layout()
"""As wide as it is."""


def layout(options: Namespace) -> Layout:
    """What the user wants of tables on this standard output."""
    return Layout(None if options.full else width(sys.stdout), not options.no_legend)


def table(
    heading: Sequence[str],
    rows: Sequence[Sequence[str]],
    right: frozenset[int],
    layout: Layout = WHOLE,
    *,
    spare: Sequence[int] = (),
    elastic: Sequence[int] = (),
    last: Sequence[int] = (),
    styles: Sequence[str] = (),
) -> str:
    """Rows below a heading, in columns as wide as they need; the columns in `right` end flush.

    Where that is too wide for the layout, the columns in `spare` are left out, in their order,
    and then the cells of those in `elastic` are cut, the widest first. The columns in `last` are
    left out where that would not do. `styles` are the rows'.
    """
    kept = list(range(len(heading)))
    lines = [heading, *rows] if layout.legend else list(rows)
    # The heading counts where it is left out, too: the rows are the same.
    widths = [max(len(line[column]) for line in (heading, *rows)) for column in kept]

    def excess() -> int:
        taken = sum(widths[column] + 2 for column in kept) - 2
        return 0 if layout.columns is None else taken - layout.columns

    for column in spare:
        if excess() > 0:
            kept.remove(column)
    to_cut = sum(max(0, widths[column] - _NARROW) for column in elastic if column in kept)
    for column in last:
        if excess() > to_cut:
            kept.remove(column)
    while excess() > 0 and (wide := [c for c in elastic if c in kept and widths[c] > _NARROW]):
        widths[max(wide, key=lambda column: widths[column])] -= 1
    shown = [
        "  ".join(
            _cell(line[column], widths[column], flush=column in right) for column in kept
        ).rstrip()
        for line in lines
    ]
    of_rows = [*styles, *[""] * (len(rows) - len(styles))]
    of_lines = ["underlined", *of_rows] if layout.legend else of_rows
    return "\n".join(map(lambda line, style: styled(line, style, sys.stdout), shown, of_lines))


def _cell(text: str, width: int, *, flush: bool) -> str:
    if len(text) > width:
        text = text[: width - 1] + "…" if unicode_wanted() else text[: width - 2] + ".."
    return text.rjust(width) if flush else text.ljust(width)


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
