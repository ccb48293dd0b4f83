# SPDX-License-Identifier: LGPL-2.1-or-later
"""Both maps as a picture for a report: an SVG file that needs nothing beside it."""

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

from ..core.finding import Finding, Severity, kinds
from ..core.finding import Kind as Kinds
from ..core.intervals import Interval
from ..core.snapshot import MemoryRange, RuntimeRegion
from .map_picture import problems, stretches
from .output import plural, printable, size
from .picture import Kind, Stretch, condensed, label

_ROWS = 84
"""How many rows there are at most; in columns of _COLUMN each at least."""
_COLUMN = 28
_WIDTH = 520
"""Of a column; all lengths are in pixels."""
_MARGIN = 24
_LINE = 15
_TOP = 168
"""Where the columns begin."""
_CHARACTER = 7.5
_CHARACTERS = 36
"""How many fit beside a bar."""

_KINDS = {
    Kind.FIRMWARE: "EFI runtime",
    Kind.KEPT: "EFI boot services, kept",
    Kind.RAM: "System RAM",
    Kind.NO_RAM: "no System RAM",
    Kind.SEVERAL: "several",
}

# Not by var(): not everything that shows SVG knows that.
_STYLE = """
text{font:12px ui-monospace,'DejaVu Sans Mono',Menlo,Consolas,monospace;fill:#1f2328}
.title{font-size:18px;font-weight:bold}.minor{fill:#59636e}.ground{fill:#ffffff}
.box{stroke:#818b98;stroke-width:.5}.tick{stroke:#818b98}
.firmware{fill:#0969da}.kept{fill:#8250df}.ram{fill:#dafbe1}.no_ram{fill:#d1d9e0}
.several{fill:#f2cc60}
text.error{fill:#cf222e}text.warning{fill:#9a6700}
path.error{fill:#cf222e}path.warning{fill:#bf8700}
rect.error{fill:none;stroke:#cf222e;stroke-width:2.5}
rect.warning{fill:none;stroke:#bf8700;stroke-width:2.5}
@media(prefers-color-scheme:dark){
text{fill:#e6edf3}.minor{fill:#9198a1}.ground{fill:#0d1117}
.firmware{fill:#4493f8}.kept{fill:#ab7df8}.ram{fill:#12361f}.no_ram{fill:#3d444d}
.several{fill:#9e6a03}
text.error,path.error{fill:#ff7b72}text.warning,path.warning{fill:#e3b341}
rect.error{stroke:#ff7b72}rect.warning{stroke:#e3b341}
}
"""

Problem = tuple[Interval, Finding]


@dataclass(frozen=True, slots=True)
class Row:
    """A stretch, what it is called, line by line, and what is wrong in it."""

    stretch: Stretch
    lines: tuple[str, ...]
    problems: tuple[tuple[Severity, str], ...]

    @property
    def height(self) -> int:
        """Pixels: as many as the words need, and more for much memory."""
        words = _LINE * (len(self.lines) + len(self.problems)) + 5
        return max(words, 20 + min(30, max(0, 3 * (self.stretch.size.bit_length() - 21))))


def svg(
    regions: Sequence[RuntimeRegion], ranges: Sequence[MemoryRange], findings: Iterable[Finding]
) -> bytes:
    """The picture, in UTF-8: all memory to scale, and below it each stretch with its address."""
    whole = stretches(regions, ranges)
    found = problems(findings)
    rows = [_row(each, found) for each in condensed(whole, _ROWS, Kind.SEVERAL)]
    columns = _columns(rows)
    width = max(len(columns), 2) * _WIDTH + 2 * _MARGIN
    told = _sentences(found, width - 2 * _MARGIN)
    tall = max((sum(row.height for row in column) for column in columns), default=0)
    height = _TOP + tall + 2 * _MARGIN + _LINE * (len(told) + 1)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" role="img">',
        f"<title>{_TITLE}</title><style>{_STYLE}</style>",
        f'<rect class="ground" width="{width}" height="{height}"/>',
        _text(_MARGIN, 36, _TITLE, "title"),
        _text(_MARGIN, 56, _summary(regions, ranges, found), "minor"),
        *_to_scale(whole, found, width - 2 * _MARGIN),
        *_legend(),
    ]
    for number, column in enumerate(columns):
        parts += _column(column, _MARGIN + number * _WIDTH)
    for number, (kind, line) in enumerate(told):
        at = height - _MARGIN - _LINE * (len(told) - number - 1)
        parts.append(_text(_MARGIN, at, line.replace(" ", "\N{NO-BREAK SPACE}"), kind))
    return "\n".join([*parts, "</svg>", ""]).encode()


_TITLE = "Memory, and what EFI needs of it"


def _row(stretch: Stretch, found: Sequence[Problem]) -> Row:
    here = [f for place, f in found if stretch.start <= place.start <= stretch.end]
    wrapped = textwrap.wrap(printable(label(stretch)), _CHARACTERS, break_on_hyphens=False)
    return Row(stretch, tuple(wrapped), tuple(_told(here)))


def _told(findings: Iterable[Finding]) -> list[tuple[Severity, str]]:
    """In few words: the sentences stand below, once for all."""
    return [
        (kind.first.severity, f"{kind.first.severity}: {kind.first.code}{_times(kind)}")
        for kind in kinds(findings)
    ]


def _times(kind: Kinds) -> str:
    return f" ({len(kind.findings)})" if len(kind.findings) > 1 else ""


def _sentences(found: Iterable[Problem], width: int) -> list[tuple[str, str]]:
    """What is wrong, in whole sentences; each line with its class."""
    return [
        (str(kind.first.severity), line)
        for kind in kinds(finding for _, finding in found)
        for line in textwrap.wrap(
            f"{kind.first.severity}: {printable(kind.message)} [{kind.first.code}]",
            int(width / _CHARACTER),
            subsequent_indent="    ",
            break_on_hyphens=False,
        )
    ]


def _summary(
    regions: Sequence[RuntimeRegion], ranges: Sequence[MemoryRange], found: Sequence[Problem]
) -> str:
    ram = sum(max(each.end - each.start + 1, 0) for each in ranges if each.is_ram)
    counts = [
        plural(sum(each.severity is severity for _, each in found), str(severity))
        for severity in (Severity.ERROR, Severity.WARNING)
    ]
    told = [plural(len(regions), "runtime region"), f"{size(ram)} of System RAM", *counts]
    return ", ".join(told)


def _columns(rows: Sequence[Row]) -> list[list[Row]]:
    """The rows in columns of about the same height."""
    count = -(-len(rows) // _COLUMN)
    room = sum(row.height for row in rows) / max(count, 1)
    columns: list[list[Row]] = [[]]
    for row in rows:
        filled = sum(each.height for each in columns[-1])
        if columns[-1] and filled + row.height / 2 > room and len(columns) < count:
            columns.append([])
        columns[-1].append(row)
    return columns


def _column(rows: Sequence[Row], left: int) -> list[str]:
    parts, top = [], _TOP
    for row in rows:
        each, bar = row.stretch, left + 104
        shape = f'x="{bar}" y="{top}" width="72" height="{row.height}"'
        parts.append(f'<rect class="box {each.kind.name.lower()}" {shape}>{_hint(each)}</rect>')
        parts.append(_text(left, top + 12, f"{each.start:#012x}", "minor"))
        size_at = f'x="{bar + 120}" y="{top + 13}" text-anchor="end"'
        parts.append(f"<text {size_at}>{size(each.size)}</text>")
        lines = [("", line) for line in row.lines] + [
            (str(kind), told) for kind, told in row.problems
        ]
        parts += (
            _text(bar + 130, top + 13 + _LINE * number, line, kind)
            for number, (kind, line) in enumerate(lines)
        )
        if row.problems:
            worst = min(kind for kind, _ in row.problems)  # by the alphabet, as it happens
            inner = f'x="{bar + 1}" y="{top + 1}" width="70" height="{row.height - 2}"'
            parts.append(f'<rect class="{worst}" {inner}/>')
        top += row.height
    if rows:
        parts.append(_text(left, top + 12, f"{rows[-1].stretch.end + 1:#012x}", "minor"))
    return parts


def _to_scale(whole: Sequence[Stretch], found: Sequence[Problem], width: int) -> list[str]:
    """All memory as one bar; what would be too thin to be seen is as thin as can be seen."""
    if not whole:
        return []
    scale = width / (whole[-1].end + 1)
    # The firmware last: it is small, and must not be painted over.
    order = sorted(whole, key=lambda each: each.kind in (Kind.FIRMWARE, Kind.KEPT))
    parts = [
        f'<rect class="{each.kind.name.lower()}" x="{_MARGIN + each.start * scale:.2f}" y="84" '
        f'width="{max(each.size * scale, 1.5):.2f}" height="26">{_hint(each)}</rect>'
        for each in order
    ]
    for place, finding in found:
        if place.start <= whole[-1].end:
            at = _MARGIN + place.start * scale
            parts.append(f'<path class="{finding.severity}" d="M{at:.1f} 83l-5 -9h10z"/>')
    for quarter in range(5):
        at, address = _MARGIN + width * quarter / 4, (whole[-1].end + 1) * quarter // 4
        anchor = ("start", "middle", "middle", "middle", "end")[quarter]
        parts.append(f'<path class="tick" d="M{at:.1f} 110v5"/>')
        place_of = f'x="{at:.1f}" y="127" text-anchor="{anchor}"'
        parts.append(f'<text class="minor" {place_of}>{size(address) if address else 0}</text>')
    return parts


def _legend() -> list[str]:
    parts, left = [], _MARGIN
    for kind, words in _KINDS.items():
        parts.append(
            f'<rect class="box {kind.name.lower()}" x="{left}" y="141" width="14" height="14"/>'
        )
        parts.append(_text(left + 20, 152, words))
        left += 44 + 8 * len(words)
    return parts


def _hint(each: Stretch) -> str:
    words = f"{each.start:#x} to {each.end:#x}, {size(each.size)}: {printable(label(each))}"
    return f"<title>{escape(words)}</title>"


def _text(left: float, top: float, words: str, kind: str = "") -> str:
    style = f' class="{kind}"' if kind else ""
    return f'<text x="{left}" y="{top}"{style}>{escape(words)}</text>'
