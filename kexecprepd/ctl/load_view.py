# SPDX-License-Identifier: LGPL-2.1-or-later
"""What `kexecprepctl load` shows: what was or would be loaded where, for people and as JSON."""

import textwrap
from dataclasses import dataclass
from typing import Any

from ..loader.errors import LoadError
from ..loader.outlook import Loss, losses
from ..loader.plan import Plan
from .load_picture import stretches
from .output import WHOLE, Layout, note, print_json, printable, size, table, unicode_wanted, wide
from .picture import WIDTH, condensed, draw
from .wanted import Wanted
from .ways import Placed, Way

_HEADING = ("WHAT", "START", "END", "SIZE", "DATA")


@dataclass(frozen=True, slots=True)
class Report:
    """A load that was done, or with --dry-run one that was only planned.

    `obstacle` is why the kernel would refuse it, if that is known.
    """

    wanted: Wanted
    way: Way
    obstacle: LoadError | None
    loaded: bool

    @property
    def title(self) -> str:
        """The kernel's name, as short as it is unmistakable."""
        version = self.wanted.kernel.version_string
        return f"Linux {version.split()[0]}" if version else "a kernel that names no version"

    @property
    def which(self) -> str:
        """What it was taken from, as the rest of a sentence."""
        told = [f"boot entry {self.wanted.entry.id}"] if self.wanted.entry else []
        told += [f"profile {self.wanted.profile}"] if self.wanted.profile else []
        return f" ({'; '.join(told)})" if told else ""

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know, in whole sentences."""
        notes = [*self.wanted.notes, *self.way.notes]
        notes += [f"{loss.sentence} {loss.hint}" for loss in self.losses]
        if not self.wanted.cmdline:
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
        if not self.way.hands_efi_over:
            return ()
        return losses(self.wanted.kernel, self.wanted.cmdline, self.way.five_level_paging)

    @property
    def efi(self) -> str:
        """What becomes of EFI, in words."""
        if self.losses:
            return "lost: the kernel would leave its runtime services off"
        return self.way.efi

    @property
    def plan(self) -> Plan | None:
        """What goes where, None where the kernel decides on that."""
        return self.way.plan if isinstance(self.way, Placed) else None


def print_report(
    report: Report, json_mode: str, layout: Layout = WHOLE, *, quiet: bool = False
) -> None:
    """Print it: as JSON, at length where nothing was loaded, or else in two lines, unless that is
    not wanted.
    """
    if json_mode != "off":
        print_json(as_json(report), json_mode)
    elif report.loaded and not quiet:
        call = "kexec_file_load(2)" if report.plan is None else "kexec_load(2)"
        print(printable(f"Loaded {report.title}{report.which} by {call}; EFI is {report.efi}."))
        print("`systemctl kexec` starts it, and since systemd 257 `systemctl reboot` does so, too.")
        for sentence in report.notes:
            note(sentence)
    elif not report.loaded:
        print(as_text(report, layout, unicode=unicode_wanted()))


def as_text(report: Report, layout: Layout = WHOLE, *, unicode: bool) -> str:
    """The placement as a table, a picture of memory, and the notes."""
    line = printable(report.wanted.cmdline, unicode=unicode) or "(empty)"
    told = f"Command line: {line}\nEFI: {report.efi}"
    title = printable(f"{report.title}{report.which}", unicode=unicode)
    if isinstance(report.way, Placed):
        machine, plan = report.way.source.machine, report.way.plan
        ram = sum(each.end - each.start + 1 for each in machine.memory_map if each.is_ram)
        shown = condensed(stretches(machine.memory_map, machine.usable, plan.segments))
        parts = [
            f"{title} would be loaded like this:",
            as_table(plan, layout),
            told,
            f"Memory, {size(ram)} of System RAM:",
            draw(shown, unicode=unicode),
        ]
    else:
        sentence = f"{title} would be loaded by kexec_file_load(2): the kernel places it by itself."
        parts = [sentence, told]
    if report.notes:
        parts.append("\n".join(_wrapped(printable(each, unicode=unicode)) for each in report.notes))
    parts.append("Nothing was loaded.")
    return "\n\n".join(parts)


def _wrapped(sentence: str) -> str:
    return textwrap.fill(sentence, WIDTH, initial_indent="Note: ", subsequent_indent=" " * 6)


def as_table(plan: Plan, layout: Layout = WHOLE) -> str:
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
    return table(_HEADING, rows, frozenset({3, 4}), layout)


def as_json(report: Report) -> dict[str, Any]:
    """Everything; ends are inclusive."""
    wanted, way, plan = report.wanted, report.way, report.plan
    image = way.source.image if isinstance(way, Placed) and way.plan.efi else None
    return {
        "loaded": report.loaded,
        "syscall": str(way.call),
        "entry-id": wanted.entry.id if wanted.entry else None,
        "kernel": wanted.file,
        "version": wanted.kernel.version_string,
        "unified": wanted.unified,
        "profile": wanted.profile,
        "command-line": wanted.cmdline,
        "efi": way.hands_efi_over,
        "efi-losses": [loss.code for loss in report.losses],
        "region-count": image.region_count if image else 0,
        "sha256": image.sha256 if image else "",
        **wide("entry", plan.entry if plan else None),
        "segments": [
            {
                "name": segment.name,
                **wide("start", segment.address),
                **wide("end", segment.address + segment.size - 1),
                **wide("data-size", len(segment.data)),
            }
            for segment in (plan.segments if plan else ())
        ],
        "avoided": [
            {**wide("start", each.start), **wide("end", each.end), "why": each.why}
            for each in (plan.usable.avoided if plan else ())
        ],
        "obstacle": None if report.obstacle is None else report.obstacle.sentence,
        "notes": list(report.notes),
    }
