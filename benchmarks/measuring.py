# SPDX-License-Identifier: LGPL-2.1-or-later
"""Measures contestants in turn, and says how they stand to the first: p50, p99 and CPU time."""

import os
import resource
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median

CHECKOUT = Path(__file__).resolve().parents[1]

MEMORY = "/dev/shm"
"""Where trees and caches are, as /sys and /run are file systems in memory, too."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One round of a contestant: its times in microseconds, and CPU time in microseconds of one."""

    times: Sequence[float]
    cpu: float
    others: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Other:
    """What was measured beside time, in the unit that its name tells, and its ratio."""

    value: float
    ratio: float


@dataclass(frozen=True, slots=True)
class Line:
    """A contestant's figures in microseconds, and its ratios to the floor, of the same round."""

    name: str
    p50: float
    p99: float
    cpu: float
    ratio: float
    cpu_ratio: float
    rounds: int
    others: Mapping[str, Other] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Table:
    """Contestants beside each other, the floor first; and what there is to say besides."""

    title: str
    lines: Sequence[Line] = ()
    facts: Mapping[str, float | str] = field(default_factory=dict)


Contestants = Mapping[str, Callable[[], Sample]]


def in_turn(contestants: Contestants, rounds: int) -> list[Line]:
    """Measure each in every round, and begin each round with another one. The first is the floor.

    A ratio is the median of those of the rounds: what else the machine does falls on all alike.
    """
    names = list(contestants)
    samples: dict[str, list[Sample]] = {name: [] for name in names}
    for number in range(rounds):
        at = number % len(names)
        for name in names[at:] + names[:at]:
            samples[name].append(contestants[name]())
    floor = samples[names[0]]
    return [_line(name, samples[name], floor) for name in names]


def _line(name: str, samples: list[Sample], floor: list[Sample]) -> Line:
    times = sorted(each for sample in samples for each in sample.times)
    pairs = list(zip(samples, floor, strict=True))
    return Line(
        name=name,
        p50=median(times),
        p99=times[min(len(times) - 1, len(times) * 99 // 100)],
        cpu=median(sample.cpu for sample in samples),
        ratio=median(median(a.times) / median(b.times) for a, b in pairs),
        cpu_ratio=median(a.cpu / b.cpu for a, b in pairs) if all(b.cpu for b in floor) else 0,
        rounds=len(samples),
        others={name: _other(name, pairs) for name in samples[0].others},
    )


def _other(name: str, pairs: Sequence[tuple[Sample, Sample]]) -> Other:
    return Other(
        value=median(a.others[name] for a, _ in pairs),
        ratio=median(a.others[name] / b.others[name] for a, b in pairs),
    )


def for_people(table: Table) -> str:
    """The table as text."""
    parts = [table.title]
    if table.lines:
        others = [*table.lines[0].others]
        head = f"{'':34}{'p50 us':>12}{'p99 us':>12}{'CPU us':>12}{'ratio':>8}{'CPU':>8}"
        parts.append(head + "".join(f"{name:>12}{'ratio':>8}" for name in others))
    for line in table.lines:
        rest = "".join(f"{each.value:12.1f}{each.ratio:8.2f}" for each in line.others.values())
        parts.append(
            f"  {line.name:32}{line.p50:12.1f}{line.p99:12.1f}{line.cpu:12.1f}"
            f"{line.ratio:8.2f}{line.cpu_ratio:8.2f}{rest}"
        )
    for name, value in table.facts.items():
        shown = value if isinstance(value, str) else f"{value:,.2f}".removesuffix(".00")
        parts.append(f"  {name}: {shown}")
    return "\n".join(parts)


def for_machines(table: Table) -> dict[str, object]:
    """The table as JSON has it."""
    return {"lines": [asdict(line) for line in table.lines], "facts": dict(table.facts)}


def cpu_of(pid: int) -> float:
    """The CPU time of a process so far, all its threads', in microseconds."""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        total += int((task / "schedstat").read_text().split()[0])
    return total / 1000


def run_one(command: Sequence[str], environment: Mapping[str, str]) -> Sample:
    """Run a program to its end, whatever that is: how long it took, and its CPU time."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begin = time.perf_counter()
    subprocess.run(
        command,
        cwd=CHECKOUT,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    took = time.perf_counter() - begin
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Sample([took * 1e6], used * 1e6)


def environment() -> dict[str, str]:
    """As the programs under test get it."""
    return {**os.environ, "PYTHONPATH": str(CHECKOUT)}
