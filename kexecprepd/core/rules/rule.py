# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a rule is, and what its hits are made of.

Adding a rule takes a function that yields a Hit for each case, and a row in its module's RULES.
The function's docstring is its entry in kexecprepd-findings(7): what it means, and why it matters.
"""

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from ...abi.efi import type_name
from ..finding import Detail, Severity
from ..intervals import Interval
from ..snapshot import RuntimeRegion
from .survey import Survey


@dataclass(frozen=True, slots=True)
class Hit:
    """One case that a rule caught: a sentence without addresses, and the numbers."""

    message: str
    details: dict[str, Detail] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule's stable code, how bad a hit is, what to do about it, and the function.

    `after_kexec` is what to do in a kernel that was started by kexec, where it is not the same:
    there the maps come from whatever loaded it.
    """

    code: str
    severity: Severity
    hint: str
    check: Callable[[Survey], Iterator[Hit]]
    after_kexec: str = ""

    def hint_for(self, survey: Survey) -> str:
        """What to do about a hit on this system."""
        kexec = self.after_kexec and survey.snapshot.started_by_kexec
        return self.after_kexec if kexec else self.hint

    @property
    def meaning(self) -> str:
        """What the manual says of it."""
        return inspect.getdoc(self.check) or ""


FIRMWARE_BUG = (
    "The firmware or the boot loader passed a broken map: "
    "update the firmware, and report this to its vendor."
)
KERNEL_MAPPING = (
    "The running kernel could not map this region: update the kernel, and report this to it."
)
HANDED_ON = (
    "This kernel has its maps from what loaded it, by kexec: boot through the firmware, "
    "and report this to that loader if it is not so then."
)


def label(region: RuntimeRegion) -> str:
    """How a message names a region: by its number, which everyone may see."""
    return f"Runtime region {region.number} ({type_name(region.type)})"


def numbers(region: RuntimeRegion) -> dict[str, Detail]:
    """A region's own numbers, for a hit's details."""
    return {
        "region": region.number,
        "type": region.type,
        "phys-addr": region.phys_addr,
        "virt-addr": region.virt_addr,
        "num-pages": region.num_pages,
        "attribute": region.attribute,
    }


def span(name: str, interval: Interval) -> dict[str, Detail]:
    """A range of addresses, for a hit's details; the end is inclusive."""
    return {f"{name}-start": interval.start, f"{name}-end": interval.end}
