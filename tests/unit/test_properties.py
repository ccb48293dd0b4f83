# SPDX-License-Identifier: LGPL-2.1-or-later
"""What holds for every machine, healthy or damaged: tried on made-up ones by Hypothesis."""

import os
import random
import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kexecprepd.core.finding import Severity, State
from kexecprepd.core.image import compose, unpack
from kexecprepd.core.intervals import Interval, covers, outside, overlapping_pairs, union, within
from kexecprepd.core.rules import validate
from kexecprepd.core.snapshot import MemoryRange, Snapshot
from kexecprepd.core.unreadable import Unreadable
from kexecprepd.core.verdict import Assessment, assess
from kexecprepd.reading.sysfs import read_snapshot
from tests.support.made_up import (
    EXAMPLES,
    U64,
    decoded,
    machines,
    numbered,
    shown,
    snapshots,
    u64s,
)
from tests.support.recordings import FIRST_KERNEL, materialise, set_memory_blocks, write
from tests.support.scratch import scratch
from tests.support.secrecy import addresses_in


@EXAMPLES
@given(machines())
def test_a_healthy_machine_is_ready(snapshot: Snapshot) -> None:
    assessment = assess(snapshot)

    assert assessment.state is State.READY
    codes = {f.code for f in assessment.findings}
    assert codes <= {"boot-services-kept", "boot-services-untagged"}


@EXAMPLES
@given(machines())
def test_an_image_decodes_to_what_sysfs_shows(snapshot: Snapshot) -> None:
    image = assess(snapshot).image
    assert image is not None

    assert decoded(image) == shown(snapshot)


@EXAMPLES
@given(machines())
def test_an_image_can_be_taken_apart_and_packed_again(snapshot: Snapshot) -> None:
    image = compose(snapshot)
    apart = unpack(image.pack())

    assert replace(apart, regions=()) == replace(image, regions=())
    numbered = enumerate(image.regions)
    assert apart.regions == tuple(replace(region, number=n) for n, region in numbered)
    assert apart.pack() == image.pack()


@EXAMPLES
@given(machines(), st.randoms(use_true_random=False))
def test_the_order_in_sysfs_does_not_matter_for_the_image(
    snapshot: Snapshot, chance: random.Random
) -> None:
    regions = list(snapshot.runtime_map or ())
    if snapshot.started_by_kexec:  # a first kernel has mapped them in the order of their numbers
        chance.shuffle(regions)
    ranges = list(snapshot.memory_map or ())
    chance.shuffle(ranges)
    shuffled = replace(
        snapshot,
        runtime_map=tuple(replace(r, number=n) for n, r in enumerate(regions)),
        memory_map=tuple(replace(r, number=n) for n, r in enumerate(ranges)),
    )

    assert assess(shuffled).state is assess(snapshot).state
    assert assess(shuffled).image == assess(snapshot).image


@settings(EXAMPLES, max_examples=600)
@given(snapshots())
def test_whatever_sysfs_says_there_is_a_verdict(snapshot: Snapshot) -> None:
    assessment = assess(snapshot)
    findings = validate(snapshot)

    assert assessment.state.has_image is (assessment.image is not None)
    assert all(isinstance(f.message, str) and f.message.endswith(".") for f in findings)
    for finding in (*findings, *assessment.findings):
        for value in finding.details.values():
            assert isinstance(value, str) or 0 <= value <= U64, f"{finding.code}: {finding.details}"


@settings(EXAMPLES, max_examples=200)
@given(machines(), st.data())
def test_no_memory_map_makes_validation_fail(snapshot: Snapshot, data: st.DataObject) -> None:
    kinds = st.sampled_from(["System RAM", "Reserved", "ACPI Tables", "?"])
    absurd = st.builds(MemoryRange, st.just(0), u64s(), u64s(), kinds)
    memory_map = data.draw(st.lists(absurd, max_size=8).map(numbered))

    assessment = assess(replace(snapshot, memory_map=memory_map))

    assert_consistent(assessment)


def assert_consistent(assessment: Assessment) -> None:
    """State, findings and image say the same."""
    severities = {finding.severity for finding in assessment.findings}
    if Severity.ERROR in severities:
        assert (assessment.state, assessment.image) == (State.INVALID, None)
    else:
        warned = Severity.WARNING in severities
        assert assessment.state is (State.DEGRADED if warned else State.READY)
        assert assessment.image is not None


@pytest.fixture(scope="module")
def recording() -> Iterator[tuple[Path, list[str]]]:
    """A recording's tree, and its files."""
    with TemporaryDirectory(prefix="kexecprepd-test.", dir=scratch()) as top:
        yield written(Path(top))


def written(top: Path) -> tuple[Path, list[str]]:
    """A recording's tree and files, of which none is shared with another tree."""
    root = materialise(FIRST_KERNEL, top)
    set_memory_blocks(root, 128 << 20, range(4))
    files = [str(each.relative_to(root)) for each in sorted(root.rglob("*")) if each.is_file()]
    for each in files:  # so that it may be written to in place
        write(root, each, (root / each).read_bytes(), 0o600)
    return root, files


# Digits and what stands around them, so that some of it is nearly what the kernel writes; no word
# of it can be in an error's own words.
PIECES = [b"0x", b"0X", b"0", b"7f52a", b"FFFF", b"-", b"\n", b" ", b"\0", b"\xff", b"64\n"]
PIECES += [b"0xdeadbeefcafe\n", b"ACPI20=0x7f77d014\n", b"ffffffffffffffff", b"1ffffffffffffffff"]
contents = st.binary(max_size=40) | st.lists(st.sampled_from(PIECES), max_size=6).map(b"".join)


@settings(EXAMPLES, max_examples=400)
@given(data=st.data(), content=contents | st.sampled_from([bytes(4096), bytes(4097), b"0" * 4095]))
def test_any_text_in_any_file_is_read_or_refused_without_telling_it(
    recording: tuple[Path, list[str]], data: st.DataObject, content: bytes
) -> None:
    root, files = recording
    path = root / data.draw(st.sampled_from(files))
    old = path.read_bytes()
    path.write_bytes(content)
    try:
        reading = read_snapshot(root)
    finally:
        path.write_bytes(old)
    if isinstance(reading, Unreadable):
        told = f"{reading} {reading.hint}".replace(os.fspath(root), "")
        assert not addresses_in(told)
        assert not [w for w in re.findall(rb"\w{5,}", content) if w.decode("latin-1") in told]


def points(intervals: Any) -> set[int]:
    return {n for start, end in intervals for n in range(start, end + 1)}


small = st.builds(Interval, st.integers(0, 24), st.integers(0, 24))
upright = small.filter(lambda interval: interval.start <= interval.end)


@EXAMPLES
@given(st.lists(small, max_size=8))
def test_a_union_is_the_same_points_in_as_few_intervals_as_can_be(listed: list[Interval]) -> None:
    united = union(listed)

    assert points(united) == points(listed)
    assert all(interval.start <= interval.end for interval in united)
    assert all(a.end + 1 < b.start for a, b in pairwise(united))


@EXAMPLES
@given(st.lists(small, max_size=8), upright)
def test_within_and_outside_part_an_interval(listed: list[Interval], wanted: Interval) -> None:
    united = union(listed)
    inner, outer = list(within(united, wanted)), list(outside(united, wanted))

    assert points(inner) == points(listed) & points([wanted])
    assert points(outer) == points([wanted]) - points(listed)
    assert all(part.start <= part.end for part in (*inner, *outer))
    assert inner == sorted(inner)
    assert outer == sorted(outer)
    assert covers(united, wanted) is (not outer)


@EXAMPLES
@given(st.lists(upright, max_size=8))
def test_whatever_overlaps_is_in_a_pair_and_nothing_else(listed: list[Interval]) -> None:
    items = list(enumerate(listed))
    pairs = list(overlapping_pairs(items, lambda item: item[1]))

    assert all(points([a[1]]) & points([b[1]]) for a, b in pairs)
    assert all(a[0] != b[0] for a, b in pairs)
    assert len(pairs) < max(len(items), 1)
    overlapping = {n for n, a in items for m, b in items if n != m and points([a]) & points([b])}
    in_pairs = {item[0] for pair in pairs for item in pair}
    assert in_pairs <= overlapping
    later = {b[0] for _, b in pairs}
    ordered = sorted(items, key=lambda item: item[1])
    for position, (number, interval) in enumerate(ordered):
        before = points(each for _, each in ordered[:position])
        assert (number in later) is bool(before & points([interval]))
