# SPDX-License-Identifier: LGPL-2.1-or-later
"""Hand out the groups of tests that take longest first, so that all processes end together."""

from __future__ import annotations

from typing import Any

from xdist.scheduler import LoadGroupScheduling

LONGEST = (
    "bookworm-dbus-daemon-graphics",
    "trixie-dbus-broker",
    "bookworm-dbus-daemon",
    "trixie-dbus-daemon-graphics",
    "test_reload-trixie",
    "test_entries",
    "test_any_loader-trixie",
    "test_run_vm",
    "test_screen",
    "test_any_loader-bookworm",
    "trixie-dbus-daemon-defaults",
    "bookworm-dbus-broker-defaults",
    "test_secure_boot",
    "trixie-dbus-daemon-efi=noruntime",
    "bookworm-dbus-daemon-ovmf32",
    "bookworm-dbus-daemon-seabios",
)
"""By how long they took (`packaging/test --vm --durations=0`), and first one of each release, so
that two images are built at once. What is not here takes seconds."""


class LongestFirst(LoadGroupScheduling):  # type: ignore[misc]  # xdist ships no types
    """pytest-xdist's loadgroup, but for the order, which goes by the number of tests there.

    Of the guests those with many tests have short ones, and those that kexec have few.
    """

    def _assign_work_unit(self, node: Any) -> None:
        self.workqueue.move_to_end(min(self.workqueue, key=_turn), last=False)
        super()._assign_work_unit(node)


def _turn(group: str) -> int:
    return LONGEST.index(group) if group in LONGEST else len(LONGEST)
