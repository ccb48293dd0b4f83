# SPDX-License-Identifier: LGPL-2.1-or-later
"""What validation says beside what it rightly says of the healthy recordings."""

from pathlib import Path

from kexecprepd.core.finding import Finding
from kexecprepd.core.rules import validate
from kexecprepd.core.snapshot import Snapshot

from .snapshots import read_snapshot

OF_HEALTHY = "boot-services-kept"
"""What is found in the recordings, and rightly: it may come along with every damage."""


def findings_of(seen: Path | Snapshot) -> tuple[Finding, ...]:
    """What validation says of a tree, or of what was read of one, but for OF_HEALTHY."""
    snapshot = seen if isinstance(seen, Snapshot) else read_snapshot(seen)
    return tuple(each for each in validate(snapshot) if each.code != OF_HEALTHY)


def codes_of(seen: Path | Snapshot) -> set[str]:
    """The codes of `findings_of`."""
    return {finding.code for finding in findings_of(seen)}
