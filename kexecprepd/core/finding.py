# SPDX-License-Identifier: LGPL-2.1-or-later
"""What validation says: findings, their severities and the state that follows from them."""

from collections.abc import Mapping
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
