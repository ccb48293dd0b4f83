# SPDX-License-Identifier: LGPL-2.1-or-later
"""Where in the address space a finding is, by the numbers in its details."""

from ..abi.efi import PAGE_SHIFT, U64
from .finding import Finding
from .intervals import Interval


def where(finding: Finding) -> Interval | None:
    """The physical addresses that a finding is about; None for one about no place.

    A part of a region or range counts rather than all of it. What is empty, or ends before it
    begins, is at its first address; nothing reaches beyond 64 bits.
    """
    numbers = {name: n for name, n in finding.details.items() if isinstance(n, int)}
    for name, start in numbers.items():
        if name.endswith("-start"):
            return _interval(start, numbers.get(f"{name.removesuffix('-start')}-end", 0))
    if "phys-addr" in numbers:
        size = numbers.get("num-pages", 0) << PAGE_SHIFT
        return _interval(numbers["phys-addr"], numbers["phys-addr"] + size - 1)
    if "address" in numbers:
        return _interval(numbers["address"], numbers["address"])
    return None


def _interval(start: int, end: int) -> Interval:
    return Interval(start, min(max(start, end), U64))
