# SPDX-License-Identifier: LGPL-2.1-or-later
"""What `kexecprepctl load` shows: what was or would be loaded where, for people and as JSON."""

import sys
import textwrap
from dataclasses import dataclass
from typing import Any

from ..core.finding import State
from ..loader.bzimage import BzImage
from ..loader.errors import LoadError
from ..loader.outlook import Loss, losses
from ..loader.plan import Plan
from .load_source import Source
from .output import plural, print_json, printable, size, table, unicode_wanted
from .picture import WIDTH, condensed, draw, stretches

_HEADING = ("WHAT", "START", "END", "SIZE", "DATA")


@dataclass(frozen=True, slots=True)
class Report:
    """A load that was done, or with --dry-run one that was only planned.

    `obstacle` is why the kernel would refuse it, if that is known.
    """

    file: str
    unified: bool
    kernel: BzImage
    cmdline: str
    source: Source
    plan: Plan
    obstacle: LoadError | None
    loaded: bool

    @property
    def title(self) -> str:
        """The kernel's name, as short as it is unmistakable."""
        version = self.kernel.version_string
        return f"Linux {version.split()[0]}" if version else "a kernel that names no version"

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know, in whole sentences."""
        notes = [*self.source.notes, *self.plan.notes]
        notes += [f"{loss.sentence} {loss.hint}" for loss in self.losses]
        if self.source.image and self.source.image.state is State.DEGRADED:
            notes.append("There are warnings about the maps: `kexecprepctl check` says which.")
        if not self.cmdline:
            notes.append(
                "The command line is empty: --append gives one, --reuse-cmdline takes that of "
                "the running kernel."
            )
        if self.obstacle is not None:
            notes.append(f"{self.obstacle.sentence} {self.obstacle.hint}".strip())
        return tuple(notes)

    @property
    def losses(self) -> tuple[Loss, ...]:
        """Why the kernel would have no EFI, though it is handed over."""
        paging = self.source.machine.five_level_paging
        return losses(self.kernel, self.cmdline, paging) if self.plan.efi else ()

    @property
    def efi(self) -> str:
        """What becomes of EFI, in words."""
        image = self.source.image
        if not self.plan.efi or image is None:
            return "left out"
        if self.losses:
            return "lost: the kernel would leave its runtime services off"
        return f"handed over, with {plural(image.region_count, 'runtime region')}"


def print_report(report: Report, json_mode: str) -> None:
    """Print it: as JSON, at length where nothing was loaded, or else in two lines."""
    if json_mode != "off":
        print_json(as_json(report), json_mode)
    elif report.loaded:
        print(f"Loaded {report.title}; EFI is {report.efi}.")
        print("`systemctl kexec` starts it.")
        for note in report.notes:
            print(f"note: {note}", file=sys.stderr)
    else:
        print(as_text(report, unicode=unicode_wanted()))


def as_text(report: Report, *, unicode: bool) -> str:
    """The placement as a table, a picture of memory, and the notes."""
    machine = report.source.machine
    ram = sum(each.end - each.start + 1 for each in machine.memory_map if each.is_ram)
    shown = condensed(stretches(machine.memory_map, report.plan.usable, report.plan.segments))
    line = printable(report.cmdline, unicode=unicode) or "(empty)"
    parts = [
        f"{report.title} would be loaded like this:",
        as_table(report.plan),
        f"Command line: {line}\nEFI: {report.efi}",
        f"Memory, {size(ram)} of System RAM:",
        draw(shown, unicode=unicode),
    ]
    if report.notes:
        parts.append("\n".join(_wrapped(printable(note, unicode=unicode)) for note in report.notes))
    parts.append("Nothing was loaded.")
    return "\n\n".join(parts)


def _wrapped(note: str) -> str:
    return textwrap.fill(note, WIDTH, initial_indent="Note: ", subsequent_indent=" " * 6)


def as_table(plan: Plan) -> str:
    """A line for each segment, by physical address: ends are inclusive, the rest is zeros."""
    rows = [
        (
            segment.name,
            f"{segment.address:#012x}",
            f"{segment.address + segment.size - 1:#012x}",
            size(segment.size),
            size(len(segment.data)),
        )
        for segment in plan.segments
    ]
    return table(_HEADING, rows, right=frozenset({3, 4}))


def as_json(report: Report) -> dict[str, Any]:
    """Everything, with numbers as numbers; ends are inclusive."""
    image = report.source.image if report.plan.efi else None
    return {
        "loaded": report.loaded,
        "kernel": report.file,
        "version": report.kernel.version_string,
        "unified": report.unified,
        "command-line": report.cmdline,
        "efi": report.plan.efi,
        "efi-losses": [loss.code for loss in report.losses],
        "region-count": image.region_count if image else 0,
        "sha256": image.sha256 if image else "",
        "entry": report.plan.entry,
        "segments": [
            {
                "name": segment.name,
                "start": segment.address,
                "end": segment.address + segment.size - 1,
                "data-size": len(segment.data),
            }
            for segment in report.plan.segments
        ],
        "avoided": [
            {"start": a.start, "end": a.end, "why": a.why} for a in report.plan.usable.avoided
        ],
        "obstacle": None if report.obstacle is None else report.obstacle.sentence,
        "notes": list(report.notes),
    }
