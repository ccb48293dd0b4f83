# SPDX-License-Identifier: LGPL-2.1-or-later
"""What holds for every placement, checked by addresses alone and not by the code's own means."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hypothesis import event, given, settings
from hypothesis import strategies as st

from kexecprepd.abi.bootparam import SIZE, E820Entry
from kexecprepd.core.placement import ExcludedRange, excluded_ranges
from kexecprepd.core.snapshot import MemoryRange, Snapshot
from kexecprepd.loader.errors import LoadError
from kexecprepd.loader.layout import Request, lay_out
from kexecprepd.loader.memory import usable
from kexecprepd.loader.plan import Draft, Machine, draft
from kexecprepd.reading.iomem import Resource
from tests.support.kernels import MIB, free, kernel
from tests.support.made_up import EXAMPLES, machines
from tests.support.recordings import HEALTHY, MACHINES
from tests.support.snapshots import published, recorded

PAGE = 4096


@dataclass(frozen=True)
class Ground:
    """A machine's memory: what the firmware says, what the kernel says, what is excluded."""

    memory_map: tuple[MemoryRange, ...]
    iomem: tuple[Resource, ...]
    excluded: tuple[ExcludedRange, ...]
    at_boot: tuple[E820Entry, ...] = ()
    limit: int | None = None
    """mem= on the new command line."""

    def draft(self, initrd: int, **fields: int) -> Draft:
        found = usable(self.memory_map, self.iomem, self.excluded, self.at_boot)
        machine = Machine(self.memory_map, found, bytes(SIZE), bytes(64), 0, 0, False)
        line = "quiet" if self.limit is None else f"quiet mem={self.limit}"
        return draft(kernel(**fields), bytes(initrd), line, machine, 112 + 6 * 40)

    def forbidden(self) -> list[tuple[int, int, str]]:
        """(start, end, why) of all that nothing may touch, each straight from where it is told."""
        parts = [(0, MIB - 1, "the first MiB")]
        if self.limit is not None:
            parts.append((self.limit, (1 << 64) - 1, "mem="))
        parts += [(r.start, r.end, r.type) for r in self.memory_map if r.type != "System RAM"]
        parts += [(e.start, e.end, e.why) for e in self.excluded]
        parts += [
            (r.start, r.end, r.name)
            for r in self.iomem
            if r.name != "System RAM" and not r.name.startswith("Kernel ")
        ]
        return parts

    def is_ram(self, start: int, end: int) -> bool:
        """Whether every byte is System RAM, by the memory map and by /proc/iomem."""
        shown = [(r.start, r.end) for r in self.iomem if r.name == "System RAM"]
        told = [(r.start, r.end) for r in self.memory_map if r.type == "System RAM"]
        then = [(e.start, e.start + e.size - 1) for e in self.at_boot if e.type == 1] or told
        return all(self._hold(parts, start, end) for parts in (shown, told, then))

    @staticmethod
    def _hold(parts: list[tuple[int, int]], start: int, end: int) -> bool:
        at = start
        for first, last in sorted(parts):
            if first <= at <= last:
                at = last + 1
        return at > end


def assert_nothing_is_harmed(ground: Ground, drafted: Draft) -> None:
    taken = [(each.address, each.address + each.size - 1, each.name) for each in drafted.placements]
    for start, end, name in taken:
        assert start % PAGE == 0, name
        assert (end + 1) % PAGE == 0, name
        assert ground.is_ram(start, end), name
        for first, last, why in ground.forbidden():
            assert last < start or end < first or last < first, f"{name} lies over {why}"
    for number, (start, end, name) in enumerate(taken):
        for other_start, other_end, other in taken[:number]:
            assert end < other_start or other_end < start, f"{name} lies over {other}"


def assert_the_kernel_can_run(drafted: Draft) -> None:
    (placed,) = (each for each in drafted.placements if each.name == "kernel")
    new = drafted.kernel
    assert placed.address % new.kernel_alignment == 0
    assert placed.address >= new.pref_address
    assert placed.size >= new.init_size
    assert new.relocatable or placed.address == new.pref_address


@st.composite
def nested(draw: Callable[[st.SearchStrategy[Any]], Any], ranges: tuple[MemoryRange, ...]) -> Any:
    """/proc/iomem of a machine with this memory map: this kernel, reserved memory and another."""
    names = st.sampled_from(["Reserved", "Crash kernel", "Kernel code", "Kernel data", "GART"])
    resources = []
    for each in ranges:
        if each.end < each.start or (draw(st.integers(0, 9)) == 0 and each.is_ram):
            continue  # the kernel does not use it: mem=, offline
        resources.append(Resource(each.start, each.end, each.type, 0))
        at = each.start
        for _ in range(draw(st.integers(0, 3)) if each.is_ram else 0):
            start = at + draw(st.integers(0, (each.end - at) // 2 // 1024)) * 1024
            end = start + draw(st.integers(1, max((each.end - start) // 4096, 1))) * 1024 - 1
            if end > each.end:
                break
            resources.append(Resource(start, end, draw(names), 1))
            at = end + 1
            if at >= each.end:
                break
    return tuple(resources)


@st.composite
def there_at_boot(
    draw: Callable[[st.SearchStrategy[Any]], Any], ranges: tuple[MemoryRange, ...]
) -> Any:
    """The memory map at boot: not told, or that of today but for what was plugged in since."""
    if draw(st.booleans()):
        return ()
    return tuple(
        E820Entry(each.start, each.end - each.start + 1, 1 if each.is_ram else 2)
        for each in ranges
        if each.start <= each.end and not (each.is_ram and draw(st.integers(0, 4)) == 0)
    )


def whole() -> dict[str, Snapshot]:
    """Every recording, and every machine that was published whole."""
    names = (name for name in MACHINES if not name.startswith(("partial-", "neg-")))
    return {
        **{name: recorded(name) for name in HEALTHY},
        **{name: published(name) for name in names},
    }


fields = st.fixed_dictionaries(
    {
        "init_size": st.integers(0x800, 96 * MIB),
        "kernel_alignment": st.sampled_from([PAGE, 2 * MIB, 16 * MIB]),
        "pref_address": st.integers(0, 24).map((16 * MIB).__mul__),
        "relocatable_kernel": st.sampled_from([1, 1, 1, 0]),
        "xloadflags": st.sampled_from([0x3F, 0x2F]),
    }
)


@settings(EXAMPLES, max_examples=200)
@given(st.data(), fields, st.integers(1, 64 * MIB))
def test_on_real_machines_nothing_is_harmed(
    data: st.DataObject, fields: dict[str, int], initrd: int
) -> None:
    machines = whole()
    snapshot = machines[data.draw(st.sampled_from(sorted(machines)))]
    ranges = snapshot.memory_map or ()
    ground = Ground(
        ranges,
        data.draw(nested(ranges)),
        excluded_ranges(snapshot),
        data.draw(there_at_boot(ranges)),
        data.draw(st.none() | st.integers(MIB, 1 << 40)),
    )

    check(ground, initrd, fields)


@EXAMPLES
@given(st.data(), machines(), fields, st.integers(1, 4 * MIB))
def test_on_made_up_machines_nothing_is_harmed(
    data: st.DataObject, snapshot: Snapshot, fields: dict[str, int], initrd: int
) -> None:
    more = MemoryRange(99, 1 << 44, (1 << 44) + 200 * MIB + 5, "System RAM")
    ranges = (*(snapshot.memory_map or ()), more)
    ground = Ground(ranges, data.draw(nested(ranges)), excluded_ranges(snapshot))

    check(ground, initrd, fields)


def check(ground: Ground, initrd: int, fields: dict[str, int]) -> None:
    try:
        drafted = ground.draft(initrd, **fields)
    except LoadError:
        event("does not fit")
        return
    event("fits")
    assert_nothing_is_harmed(ground, drafted)
    assert_the_kernel_can_run(drafted)


def test_a_kernel_with_efi_fits_every_machine_that_was_published_whole() -> None:
    for snapshot in whole().values():
        ranges = snapshot.memory_map or ()
        shown = tuple(Resource(r.start, r.end, r.type, 0) for r in ranges)
        ground = Ground(ranges, shown, excluded_ranges(snapshot))

        drafted = ground.draft(20 * MIB)

        assert_nothing_is_harmed(ground, drafted)
        assert_the_kernel_can_run(drafted)


# Small enough that a search through every address tells what is right.

spots = st.lists(st.booleans(), min_size=1, max_size=24)
requests = st.builds(
    Request,
    name=st.sampled_from("abcd"),
    size=st.integers(1, 4 * PAGE),
    alignment=st.sampled_from([PAGE, 2 * PAGE, 4 * PAGE]),
    minimum=st.integers(0, 8).map(PAGE.__mul__),
)


def pages(parts: list[bool]) -> list[tuple[int, int]]:
    """Intervals of the pages that are free, counted from page 0."""
    found: list[tuple[int, int]] = []
    for number, is_free in enumerate(parts):
        if is_free and found and found[-1][1] == number * PAGE - 1:
            found[-1] = (found[-1][0], (number + 1) * PAGE - 1)
        elif is_free:
            found.append((number * PAGE, (number + 1) * PAGE - 1))
    return found


@settings(EXAMPLES, max_examples=400)
@given(spots, st.lists(requests, min_size=1, max_size=4))
def test_every_layout_is_in_free_pages_apart_and_aligned(
    spots: list[bool], requests: list[Request]
) -> None:
    try:
        placements = lay_out(requests, free(*pages(spots)))
    except LoadError:
        return
    left = {number for number, is_free in enumerate(spots) if is_free}
    assert [each.name for each in placements] == [each.name for each in requests]
    for request, placed in zip(requests, placements, strict=True):
        covered = {at // PAGE for at in range(placed.address, placed.address + placed.size, PAGE)}
        assert placed.size - PAGE < request.size <= placed.size
        assert placed.address % request.alignment == 0
        assert placed.address >= request.minimum
        assert covered <= left
        left -= covered


@settings(EXAMPLES, max_examples=400)
@given(spots, requests)
def test_a_single_request_gets_the_best_place_or_there_is_none(
    spots: list[bool], request: Request
) -> None:
    size = -(-request.size // PAGE)
    candidates = [
        at * PAGE
        for at in range(len(spots))
        if at + size <= len(spots)
        and all(spots[at : at + size])
        and at * PAGE % request.alignment == 0
        and at * PAGE >= request.minimum
    ]
    try:
        (placed,) = lay_out([request], free(*pages(spots)))
    except LoadError:
        assert not candidates
        return
    assert placed.address == min(candidates)
