# SPDX-License-Identifier: LGPL-2.1-or-later
"""Judges one reading: the state it puts the system in, and the image, if one may be served."""

from dataclasses import dataclass

from . import image
from .finding import Finding, Severity, State, kinds
from .rules import of_arrival, validate
from .snapshot import Snapshot
from .unreadable import Unreadable
from .unsupported import CONTAINED, unsupported


@dataclass(frozen=True, slots=True)
class Assessment:
    """A state, one sentence for it (`reason`, without addresses), and what led to it.

    `image` is None and `sha256` empty where nothing may be handed over.
    """

    state: State
    reason: str
    findings: tuple[Finding, ...]
    image: bytes | None
    sha256: str

    def count(self, severity: Severity) -> int:
        """How many findings are of a severity."""
        return sum(finding.severity is severity for finding in self.findings)


def assess(reading: Snapshot | Unreadable) -> Assessment:
    """Judge a snapshot, or the failure to take one."""
    if isinstance(reading, Unreadable) and reading.contained:
        return Assessment(State.UNSUPPORTED, CONTAINED.message, (CONTAINED,), None, "")
    if isinstance(reading, Unreadable):
        details = {"path": reading.path}
        failure = Finding(Severity.ERROR, reading.code, f"{reading}.", reading.hint, details)
        return Assessment(State.INVALID, reading.sentence, (failure,), None, "")
    nothing = unsupported(reading)
    if nothing is not None:
        findings = (nothing, *of_arrival(reading))
        return Assessment(State.UNSUPPORTED, nothing.message, findings, None, "")
    findings = validate(reading)
    state = _state(findings)
    data = image.compose(reading).pack() if state.has_image else None
    return Assessment(
        state=state,
        reason=_reason(state, findings, len(reading.runtime_regions)),
        findings=findings,
        image=data,
        sha256="" if data is None else image.sha256(data),
    )


def _state(findings: tuple[Finding, ...]) -> State:
    severities = {finding.severity for finding in findings}
    if Severity.ERROR in severities:
        return State.INVALID
    return State.DEGRADED if Severity.WARNING in severities else State.READY


def _reason(state: State, findings: tuple[Finding, ...], regions: int) -> str:
    if state is State.INVALID:
        return f"The runtime map is refused: {_told(findings, Severity.ERROR)}."
    count = f"{regions} runtime region{'' if regions == 1 else 's'}"
    if state is State.DEGRADED:
        told = _told(findings, Severity.WARNING)
        return f"EFI can be handed over ({count}), with something to know: {told}."
    return f"EFI can be handed over: {count}, and every check passed."


def _told(findings: tuple[Finding, ...], severity: Severity) -> str:
    """The first kind of a severity in words, and how many other kinds there are."""
    first, *others = kinds(finding for finding in findings if finding.severity is severity)
    words = first.message.removesuffix(".")
    if not others:
        return words
    if len(others) == 1:
        return f"{words}; and there is another {severity}"
    return f"{words}; and there are {len(others)} other {severity}s"
