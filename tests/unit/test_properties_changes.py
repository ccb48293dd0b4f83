# SPDX-License-Identifier: LGPL-2.1-or-later
"""One change to a healthy machine: refused by a name of its own, or handed over as it is."""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from kexecprepd.core.finding import Severity, State
from kexecprepd.core.snapshot import MemoryRange, RuntimeRegion, Snapshot
from kexecprepd.core.verdict import assess
from tests.support.made_up import (
    E820_TYPES,
    EXAMPLES,
    PAGE,
    RUNTIME,
    RUNTIME_DATA,
    TOP,
    TWO_MIB,
    U64,
    decoded,
    machines,
    shown,
    u64s,
    with_region,
)

Draw = Callable[[st.SearchStrategy[Any]], Any]
Mutation = Callable[[Draw, Snapshot, RuntimeRegion], Snapshot]


def add_overlap(draw: Draw, snapshot: Snapshot, region: RuntimeRegion) -> Snapshot:
    """A second region that begins within the first, mapped elsewhere."""
    page = draw(st.integers(0, region.num_pages - 1))
    phys = region.phys_addr + page * PAGE
    virt = TOP - (32 << 30) + phys % TWO_MIB
    regions = snapshot.runtime_map or ()
    extra = replace(region, number=len(regions), phys_addr=phys, virt_addr=virt, num_pages=1)
    return replace(snapshot, runtime_map=(*regions, extra))


def virtual_overlap(draw: Draw, snapshot: Snapshot, region: RuntimeRegion) -> Snapshot:
    """A second region at the virtual addresses of the first."""
    regions = snapshot.runtime_map or ()
    phys = 0xF00_0000_0000 + region.phys_addr % TWO_MIB
    attribute = region.attribute | RUNTIME
    extra = replace(region, number=len(regions), type=11, phys_addr=phys, attribute=attribute)
    return replace(snapshot, runtime_map=(*regions, extra))


def no_pages(draw: Draw, snapshot: Snapshot, region: RuntimeRegion) -> Snapshot:
    return with_region(snapshot, region.number, num_pages=0)


def too_many_pages(draw: Draw, snapshot: Snapshot, region: RuntimeRegion) -> Snapshot:
    return with_region(snapshot, region.number, num_pages=draw(st.integers(1 << 31, U64)))


def beyond_the_end(draw: Draw, snapshot: Snapshot, region: RuntimeRegion) -> Snapshot:
    begin = (1 << 64) - draw(st.integers(1, region.num_pages)) * PAGE
    return with_region(snapshot, region.number, phys_addr=begin)


def misaligned(draw: Draw, snapshot: Snapshot, region: RuntimeRegion) -> Snapshot:
    name = draw(st.sampled_from(["phys_addr", "virt_addr"]))
    off = draw(st.integers(1, PAGE - 1))
    return with_region(snapshot, region.number, **{name: getattr(region, name) + off})


def out_of_the_window(draw: Draw, snapshot: Snapshot, region: RuntimeRegion) -> Snapshot:
    below = st.integers(0, (TOP - (64 << 30)) // PAGE - 1)
    above = st.integers(TOP // PAGE - region.num_pages + 1, U64 // PAGE)
    return with_region(snapshot, region.number, virt_addr=draw(below | above) * PAGE)


def moved_below(draw: Draw, snapshot: Snapshot, region: RuntimeRegion) -> Snapshot:
    """The first region by multiples of 2 MiB below the last."""
    regions = snapshot.runtime_map or ()
    assume(snapshot.started_by_boot_loader)
    # A list that ascends may be the view of the kernel's own.
    assume(any(a.phys_addr > b.phys_addr for a, b in pairwise(regions)))
    by = (regions[0].virt_addr - regions[-1].virt_addr) // TWO_MIB + draw(st.integers(4, 99))
    return with_region(snapshot, 0, virt_addr=regions[0].virt_addr - by * TWO_MIB)


def incongruent(draw: Draw, snapshot: Snapshot, region: RuntimeRegion) -> Snapshot:
    pages = draw(st.integers(1, TWO_MIB // PAGE - 1))
    virt = TOP - (48 << 30) + (region.phys_addr + pages * PAGE) % TWO_MIB
    return with_region(snapshot, region.number, virt_addr=virt)


def under_ram(draw: Draw, snapshot: Snapshot, region: RuntimeRegion) -> Snapshot:
    """The memory map gives away what runtime data lies in."""
    data = next(r for r in snapshot.runtime_map or () if r.type == RUNTIME_DATA)
    page = draw(st.integers(0, data.num_pages - 1)) * PAGE
    begin = data.phys_addr + page
    more = MemoryRange(len(snapshot.memory_map or ()), begin, begin + PAGE - 1, "System RAM")
    return replace(snapshot, memory_map=(*(snapshot.memory_map or ()), more))


def conventional(draw: Draw, snapshot: Snapshot, region: RuntimeRegion) -> Snapshot:
    """Boot services, in System RAM, become memory to be given away."""
    kept = [r for r in snapshot.runtime_map or () if r.type in (3, 4) and r.attribute & RUNTIME]
    assume(kept)
    return with_region(snapshot, kept[0].number, type=draw(st.sampled_from([1, 2, 5, 6, 7, 11])))


def no_configuration_table(draw: Draw, snapshot: Snapshot, region: RuntimeRegion) -> Snapshot:
    assert snapshot.efi
    nothing = draw(st.sampled_from([0, U64, None]))
    return replace(snapshot, efi=replace(snapshot.efi, config_table=nothing))


def table_into_ram(draw: Draw, snapshot: Snapshot, region: RuntimeRegion) -> Snapshot:
    ram = MemoryRange(99, 0xF00_0000_0000, 0xF00_0FFF_FFFF, "System RAM")
    address = draw(st.integers(ram.start, ram.end))
    assert snapshot.efi
    return replace(
        snapshot,
        efi=replace(snapshot.efi, config_table=address),
        memory_map=(*(snapshot.memory_map or ()), ram),
        setup_data=(),
    )


def half_an_efi_info(draw: Draw, snapshot: Snapshot, region: RuntimeRegion) -> Snapshot:
    assert snapshot.boot_params
    harm = draw(
        st.sampled_from(
            [{"signature": bytes(4)}, {"signature": b"EL32"}, {"systab": 0}],
        )
    )
    told = replace(snapshot.boot_params.efi_info, **harm)
    return replace(snapshot, boot_params=replace(snapshot.boot_params, efi_info=told))


REFUSED: dict[str, list[Mutation]] = {
    "phys-overlap": [add_overlap],
    "virt-overlap": [virtual_overlap],
    "region-empty": [no_pages],
    "region-overflow": [too_many_pages, beyond_the_end],
    "region-misaligned": [misaligned],
    "virt-outside-window": [out_of_the_window],
    "virt-not-descending": [moved_below],
    "virt-incongruent": [incongruent],
    "region-in-usable-memory": [under_ram, conventional],
    "table-missing": [no_configuration_table],
    "table-in-ram": [table_into_ram],
    "efi-info-incomplete": [half_an_efi_info],
}


def a_region(draw: Draw, snapshot: Snapshot) -> RuntimeRegion:
    region: RuntimeRegion = draw(st.sampled_from(snapshot.runtime_map or ()))
    return region


@pytest.mark.parametrize(
    ("code", "mutation"),
    [
        pytest.param(code, each, id=each.__name__)
        for code, mutations in REFUSED.items()
        for each in mutations
    ],
)
# Few machines have kept boot services, which `conventional` is about.
@settings(
    EXAMPLES,
    max_examples=60,
    suppress_health_check=[*EXAMPLES.suppress_health_check, HealthCheck.filter_too_much],
)
@given(data=st.data(), snapshot=machines())
def test_a_damage_that_breaks_the_next_kernel_is_refused_by_its_name(
    code: str, mutation: Mutation, data: st.DataObject, snapshot: Snapshot
) -> None:
    damaged = mutation(data.draw, snapshot, a_region(data.draw, snapshot))

    assessment = assess(damaged)

    assert (assessment.state, assessment.image) == (State.INVALID, None)
    errors = {f.code for f in assessment.findings if f.severity is Severity.ERROR}
    assert code in errors


def range_removed(draw: Draw, snapshot: Snapshot, region: RuntimeRegion) -> Snapshot:
    ranges = list(snapshot.memory_map or ())
    ranges.remove(draw(st.sampled_from(ranges)))
    return replace(snapshot, memory_map=tuple(ranges))


def range_renamed(draw: Draw, snapshot: Snapshot, region: RuntimeRegion) -> Snapshot:
    ranges = list(snapshot.memory_map or ())
    at = draw(st.integers(0, len(ranges) - 1))
    ranges[at] = replace(ranges[at], type=draw(st.sampled_from([*E820_TYPES, "Soft Reserved"])))
    return replace(snapshot, memory_map=tuple(ranges))


def type_swapped(draw: Draw, snapshot: Snapshot, region: RuntimeRegion) -> Snapshot:
    return with_region(snapshot, region.number, type=draw(st.integers(0, 20)))


def any_attribute(draw: Draw, snapshot: Snapshot, region: RuntimeRegion) -> Snapshot:
    return with_region(snapshot, region.number, attribute=draw(u64s()))


def any_address(draw: Draw, snapshot: Snapshot, region: RuntimeRegion) -> Snapshot:
    return with_region(snapshot, region.number, phys_addr=draw(u64s()))


def any_virtual_address(draw: Draw, snapshot: Snapshot, region: RuntimeRegion) -> Snapshot:
    return with_region(snapshot, region.number, virt_addr=draw(u64s()))


def any_size(draw: Draw, snapshot: Snapshot, region: RuntimeRegion) -> Snapshot:
    return with_region(snapshot, region.number, num_pages=draw(u64s()))


def any_table(draw: Draw, snapshot: Snapshot, region: RuntimeRegion) -> Snapshot:
    assert snapshot.efi
    name = draw(st.sampled_from(["fw_vendor", "config_table", "runtime"]))
    return replace(snapshot, efi=replace(snapshot.efi, **{name: draw(u64s())}))


OF_REGIONS = {
    "region-empty",
    "region-overflow",
    "region-misaligned",
    "virt-outside-window",
    "virt-incongruent",
    "phys-overlap",
    "virt-overlap",
    "region-in-usable-memory",
    "table-in-ram",
    "table-beyond-memory",
}
JUDGED: dict[Mutation, set[str]] = {
    range_removed: {"memmap-without-ram", "table-beyond-memory"},
    range_renamed: {"memmap-without-ram", "region-in-usable-memory"},
    type_swapped: {
        "region-in-usable-memory",
        "region-conventional",
        "region-unexplained",
        "runtime-code-missing",
    },
    any_attribute: {"table-in-ram", "region-unexplained", "runtime-code-missing"},
    any_address: OF_REGIONS - {"virt-outside-window", "virt-overlap", "region-empty"},
    any_virtual_address: {
        "region-misaligned",
        "virt-outside-window",
        "virt-incongruent",
        "virt-overlap",
        "virt-not-descending",
    },
    any_size: {"region-empty", "region-overflow", "virt-outside-window", "phys-overlap"}
    | {"virt-overlap", "region-in-usable-memory", "table-in-ram"},
    any_table: {"table-missing", "table-in-ram", "table-misaligned", "table-beyond-memory"},
}
"""What may go wrong at all where nothing else was changed."""


@pytest.mark.parametrize("mutation", JUDGED, ids=lambda each: each.__name__)
@settings(EXAMPLES, max_examples=80)
@given(data=st.data(), snapshot=machines())
def test_a_change_is_refused_by_a_name_of_its_own_or_handed_over_as_it_is(
    mutation: Mutation, data: st.DataObject, snapshot: Snapshot
) -> None:
    changed = mutation(data.draw, snapshot, a_region(data.draw, snapshot))

    assessment = assess(changed)

    errors = {f.code for f in assessment.findings if f.severity is Severity.ERROR}
    assert errors <= JUDGED[mutation]
    assert (assessment.state is State.INVALID) == bool(errors)
    if assessment.image is not None:
        assert decoded(assessment.image) == shown(changed)
