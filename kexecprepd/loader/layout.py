# SPDX-License-Identifier: LGPL-2.1-or-later
"""Finds a place in memory for each thing that the next kernel is started with."""

from collections.abc import Iterable
from dataclasses import dataclass

from ..abi.efi import PAGE_SIZE
from ..core.intervals import Interval, covers, outside, touching
from .errors import LoadError
from .memory import Usable

_SMALLER = "Free memory, or load something smaller: see --dry-run for what is avoided and why."


@dataclass(frozen=True, slots=True)
class Request:
    """Something to place, in bytes; `alignment` is a power of two, and a page at the least.

    `fixed` is the only address that will do. With a `minimum` nothing below it will: a kernel's
    `pref_address` itself where that is free. What has neither goes to the lowest place above those
    that have, or below where there is none.
    """

    name: str
    size: int
    alignment: int
    minimum: int = 0
    fixed: int | None = None


@dataclass(frozen=True, slots=True)
class Placement:
    """A request's physical address; `size` in bytes, whole pages."""

    name: str
    address: int
    size: int


def lay_out(requests: Iterable[Request], usable: Usable) -> tuple[Placement, ...]:
    """A place for each request, in whole free pages that no other one has; in their order.

    Each gets the lowest that there is, from the kernel up: firmware and what started this kernel
    keep small tables of theirs at the top of memory, also where no map tells of them. Those with
    the least choice come first: fixed ones, those with a minimum, then the largest.
    Raises LoadError where something does not fit.
    """
    wanted = tuple(requests)
    order = sorted(
        range(len(wanted)),
        key=lambda at: (wanted[at].fixed is None, wanted[at].minimum == 0, -wanted[at].size),
    )
    free, placed, bottom = usable.free, {}, 0
    for at in order:
        request = wanted[at]
        size = _pages(request.size)
        address = _find(request, size, free, usable, bottom)
        if request.minimum or request.fixed is not None:
            bottom = max(bottom, address)
        placed[at] = Placement(request.name, address, size)
        taken = (Interval(address, address + size - 1),)
        free = tuple(part for whole in free for part in outside(taken, whole))
    return tuple(placed[at] for at in range(len(wanted)))


def _find(
    request: Request, size: int, free: tuple[Interval, ...], usable: Usable, bottom: int
) -> int:
    if request.fixed is not None:
        _require_free(request, size, free, usable)
        return request.fixed
    places = (
        _lowest(free, size, request.alignment, minimum)
        for minimum in (max(request.minimum, bottom), request.minimum)
    )
    place = next((found for found in places if found is not None), None)
    if place is None:
        where = " at or above the address that it prefers" if request.minimum else ""
        sentence = (
            f"The {request.name} does not fit: it takes {size} bytes{where}, aligned to "
            f"{request.alignment}, and {_largest(free, request.minimum)}."
        )
        raise LoadError(sentence, _SMALLER)
    return place


def _lowest(free: tuple[Interval, ...], size: int, alignment: int, minimum: int) -> int | None:
    for part in free:
        address = -(-max(part.start, minimum) // alignment) * alignment
        if address + size - 1 <= part.end:
            return address
    return None


def _require_free(request: Request, size: int, free: tuple[Interval, ...], usable: Usable) -> None:
    assert request.fixed is not None
    wanted = Interval(request.fixed, request.fixed + size - 1)
    if covers(free, wanted):
        return
    reasons = touching(usable.avoided, wanted)
    why = reasons[0].why if reasons else "not all of it is System RAM"
    raise LoadError(
        f"The {request.name} can run at one address alone, and that is not free: {why}.",
        "Give a relocatable kernel (CONFIG_RELOCATABLE), as distributions build them.",
    )


def _largest(free: tuple[Interval, ...], minimum: int) -> str:
    sizes = [part.end + 1 - max(part.start, minimum) for part in free if part.end >= minimum]
    if not sizes:
        return "nothing is free there"
    return f"the largest free range there has {max(sizes)} bytes"


def _pages(size: int) -> int:
    return max(-(-size // PAGE_SIZE), 1) * PAGE_SIZE
