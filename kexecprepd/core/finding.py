# SPDX-License-Identifier: LGPL-2.1-or-later
"""What validation says: findings, their severities and the state that follows from them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

Detail = int | str
"""A number (unsigned, 64-bit at most) or a text in a finding's details."""


class Severity(StrEnum):
    """How bad a finding is."""

    ERROR = "error"
    """Handing this over could crash or corrupt the next kernel: it is refused."""
    WARNING = "warning"
    """It works, but an administrator should know."""
    INFO = "info"
    """Noted."""


class State(StrEnum):
    """What there is to hand over."""

    READY = "ready"
    DEGRADED = "degraded"
    INVALID = "invalid"
    UNSUPPORTED = "unsupported"

    @property
    def has_image(self) -> bool:
        """Whether an image is served in this state."""
        return self in (State.READY, State.DEGRADED)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that validation noticed.

    `message` is one sentence and `hint` what to do about it; neither holds an address, so
    both may be logged. The numbers are in `details`, which are for root alone.
    """

    severity: Severity
    code: str
    message: str
    hint: str
    details: Mapping[str, Detail] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Kind:
    """Findings that say the same of different places: one severity, one code, one hint."""

    findings: tuple[Finding, ...]

    @property
    def first(self) -> Finding:
        """The one that speaks for all."""
        return self.findings[0]

    @property
    def message(self) -> str:
        """One sentence for all: the first's, with how many there are and which regions or ranges
        they are about. It holds no address, as theirs do not.
        """
        if len(self.findings) == 1:
            return self.first.message
        where = self._numbers("region", "other-region")
        noun = "region" if where else "range"
        where = where or self._numbers("range", "other-range")
        text = f"{self.first.message.removesuffix('.')}; {len(self.findings)} cases"
        return (
            f"{text}, in {noun}{'s' if len(where) > 1 else ''} {listed(where)}."
            if where
            else f"{text}."
        )

    def _numbers(self, *names: str) -> list[int]:
        found = {finding.details.get(name) for finding in self.findings for name in names}
        return sorted(number for number in found if isinstance(number, int))


def kinds(findings: Iterable[Finding]) -> tuple[Kind, ...]:
    """Findings by their kinds, in the order in which those first occur."""
    groups: dict[tuple[str, str, str], list[Finding]] = {}
    for finding in findings:
        groups.setdefault((finding.severity, finding.code, finding.hint), []).append(finding)
    return tuple(Kind(tuple(group)) for group in groups.values())


_LISTED = 8
"""How many numbers a sentence takes."""


def listed(numbers: Sequence[int]) -> str:
    """`1`, `1 and 4`, `1, 4 and 7`; of many the first ones, and how many more there are."""
    shown = [str(number) for number in numbers[:_LISTED]]
    if len(numbers) > _LISTED:
        shown.append(f"{len(numbers) - _LISTED} more")
    return " and ".join(filter(None, (", ".join(shown[:-1]), shown[-1])))
