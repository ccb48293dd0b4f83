# SPDX-License-Identifier: LGPL-2.1-or-later
"""Answers what the daemon would, from a tree that is read here and now."""

from pathlib import Path
from typing import Any

from ..core.finding import Finding, Severity
from ..core.handover_digest import handover_sha256
from ..core.image import ImageError, compose
from ..core.presence import present_memory_map
from ..core.snapshot import MemoryRange, RuntimeRegion, Snapshot
from ..core.unreadable import Unreadable
from ..core.unsupported import CONTAINED
from ..core.verdict import Assessment, assess
from ..reading.sysfs import read_snapshot
from .exits import CtlError, Exit, failed


class Offline:
    """The same questions as `Client` has, without a daemon. Making it may raise CtlError."""

    def __init__(self, root: Path) -> None:
        reading = read_snapshot(root)
        if isinstance(reading, Unreadable) and reading.contained:
            raise CtlError(Exit.UNSUPPORTED, CONTAINED.message, CONTAINED.hint)
        if isinstance(reading, Unreadable):
            raise failed(reading)
        self.snapshot: Snapshot = reading
        self.assessment: Assessment = assess(reading)

    def handover_sha256(self, *, efi: bool) -> str:
        """The digest of all that a load from this tree depends on, with or without EFI."""
        return handover_sha256((self.assessment.image if efi else None) or b"", self.snapshot)

    @property
    def present_memory_map(self) -> tuple[MemoryRange, ...]:
        """The memory map without memory that is not there."""
        return present_memory_map(self.snapshot)

    def properties(self) -> dict[str, Any]:
        """The properties that follow from the tree alone."""
        return {
            "State": str(self.assessment.state),
            "Reason": self.assessment.reason,
            "Sha256": self.assessment.sha256,
            "RegionCount": len(self.snapshot.runtime_regions),
            "WarningCount": self.assessment.count(Severity.WARNING),
            "ErrorCount": self.assessment.count(Severity.ERROR),
        }

    def runtime_map(self) -> list[RuntimeRegion]:
        """Every entry of the runtime map."""
        return list(self.snapshot.runtime_map or ())

    def memory_map(self) -> list[MemoryRange]:
        """Every entry of the memory map."""
        return list(self.snapshot.memory_map or ())

    def findings(self) -> list[Finding]:
        """What validation noticed, worst first."""
        return list(self.assessment.findings)

    def packed(self) -> bytes:
        """An image of the map as it is, whatever validation says of it."""
        hint = next((finding.hint for finding in self.findings()), "")
        if not self.snapshot.runtime_regions:
            raise CtlError(Exit.UNSUPPORTED, self.assessment.reason, hint)
        try:
            return compose(self.snapshot).pack()
        except ImageError as error:
            sentence = f"There is no image to pack: {error.reason}."
            raise CtlError(Exit.UNSUPPORTED, sentence, hint) from error
