# SPDX-License-Identifier: LGPL-2.1-or-later
"""A moment, by both clocks of the kernel."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timestamp:
    """A moment in microseconds, by CLOCK_REALTIME and CLOCK_MONOTONIC."""

    realtime: int
    monotonic: int
