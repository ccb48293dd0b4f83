# SPDX-License-Identifier: LGPL-2.1-or-later
"""The command for fleets: the daemon's properties, and what is loaded, as Prometheus reads them.

Source: Prometheus' text-based exposition format, and its naming practices, which promtool checks.
"""

from argparse import Namespace
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..core.finding import Severity, State
from ..core.origin import StartedBy
from ..reading.kernel import System, read_system
from . import loaded, origin_view
from .client import Client
from .exits import CtlError, Exit
from .here import HERE, require_here
from .loaded import Standing

_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})


@dataclass(frozen=True, slots=True)
class Sample:
    """One value of a metric, with the labels that tell it from the others of its metric."""

    value: int | float
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Gauge:
    """A metric; `meaning` is a sentence. Without samples, what it tells is not known."""

    name: str
    meaning: str
    samples: tuple[Sample, ...]


def metrics(options: Namespace) -> Exit:
    """Print everything that is known; whoever runs it need not be root, but is told less then."""
    if options.json != "off":
        sentence = "metrics has a format of its own, and cannot be JSON."
        raise CtlError(Exit.USAGE, sentence, "`kexecprepctl check --json=short` has it all.")
    require_here(options)
    client = Client()
    properties = client.properties()
    system = read_system(HERE)
    print(exposition(gauges(properties, _notes(client), system, loaded.look(HERE, system))), end="")
    return Exit.OK


def _notes(client: Client) -> int | None:
    """How many findings are of severity info, None where that is not for this user."""
    try:
        return sum(finding.severity is Severity.INFO for finding in client.findings())
    except CtlError as error:
        if not error.denied:
            raise
        return None


def gauges(
    properties: Mapping[str, Any], notes: int | None, system: System, standing: Standing | None
) -> Iterator[Gauge]:
    """What there is to tell; `notes` is the number of findings of severity info."""
    yield _gauge("info", "The daemon's version.", 1, version=properties["Version"])
    yield Gauge(
        "state",
        "1 for the state that the handover is in.",
        tuple(Sample(int(properties["State"] == each), {"state": each}) for each in State),
    )
    counts = {
        Severity.ERROR: properties["ErrorCount"],
        Severity.WARNING: properties["WarningCount"],
        Severity.INFO: notes,
    }
    yield Gauge(
        "findings",
        "Findings of the validation, by severity; those of info are told to root alone.",
        tuple(
            Sample(count, {"severity": severity})
            for severity, count in counts.items()
            if count is not None
        ),
    )
    yield _gauge("generation", "Counts the changes in this boot.", properties["Generation"])
    yield _gauge("runtime_regions", "Regions of the runtime map.", properties["RegionCount"])
    yield _gauge(
        "snapshot_timestamp_seconds",
        "When this generation was first read, by the clock.",
        properties["SnapshotTimestamp"] / 1_000_000,
    )
    yield from _of_origin(properties)
    yield _gauge("kernel_loaded", "Whether a kernel is loaded for kexec.", system.kernel_loaded)
    yield _gauge(
        "kernel_stale",
        "Whether the memory has changed since that kernel was loaded; told to root alone.",
        standing.stale if standing else None,
    )


def _of_origin(properties: Mapping[str, Any]) -> Iterator[Gauge]:
    origin = origin_view.origin_of(properties)
    known = origin.started_by is not StartedBy.UNKNOWN
    yield _gauge(
        "started_by_kexec",
        "Whether this kernel was started by kexec.",
        origin.started_by is StartedBy.KEXEC if known else None,
    )
    yield _gauge(
        "kexecs",
        "Kexecs since power-on, by the receipt, or by what systemd kept.",
        origin.kexec_count,
    )
    receipt = origin.receipt
    yield _gauge(
        "handover_arrived",
        "Whether what was handed over, as far as that is told, is what this kernel shows.",
        origin_view.arrived(receipt, properties) if receipt else None,
    )


def _gauge(name: str, meaning: str, value: float | None, **labels: str) -> Gauge:
    return Gauge(name, meaning, () if value is None else (Sample(value, labels),))


def exposition(gauges: Iterator[Gauge]) -> str:
    """The text; a metric without samples is left out."""
    return "".join(line for gauge in gauges if gauge.samples for line in _lines(gauge))


def _lines(gauge: Gauge) -> Iterator[str]:
    name = f"kexecprepd_{gauge.name}"
    yield f"# HELP {name} {gauge.meaning}\n# TYPE {name} gauge\n"
    for sample in gauge.samples:
        labels = ",".join(
            f'{label}="{value.translate(_ESCAPES)}"' for label, value in sample.labels.items()
        )
        # Whole numbers as such: a float would lose the last digits of a large one.
        value = int(sample.value) if isinstance(sample.value, int) else repr(sample.value)
        yield f"{name}{'{' + labels + '}' if labels else ''} {value}\n"
