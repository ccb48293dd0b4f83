# SPDX-License-Identifier: LGPL-2.1-or-later
"""The digest of all that a load depends on."""

from dataclasses import replace
from pathlib import Path

import pytest

from kexecprepd.core.handover_digest import handover_sha256
from kexecprepd.core.snapshot import MemoryBlocks, Snapshot
from tests.support.snapshots import read_snapshot

BLOCK = 128 << 20


@pytest.fixture
def snapshot(tree: Path) -> Snapshot:
    """With System RAM from 4 GiB to 8 GiB, and all of it there."""
    blocks = MemoryBlocks(BLOCK, tuple(range(64)))
    return replace(read_snapshot(tree), memory_blocks=blocks)


def without_block(snapshot: Snapshot, number: int) -> Snapshot:
    left = tuple(each for each in range(64) if each != number)
    return replace(snapshot, memory_blocks=MemoryBlocks(BLOCK, left))


def test_the_digest_is_of_all_that_a_load_depends_on(snapshot: Snapshot) -> None:
    region, *regions = snapshot.runtime_map or ()
    moved = replace(region, phys_addr=region.phys_addr + 4096)
    first, *ranges = snapshot.memory_map or ()
    reserved = replace(first, type="Reserved")
    digests = {
        handover_sha256(b"image", snapshot),
        handover_sha256(b"", snapshot),
        handover_sha256(b"image", without_block(snapshot, 40)),
        handover_sha256(b"image", replace(snapshot, runtime_map=(moved, *regions))),
        handover_sha256(b"image", replace(snapshot, memory_map=(reserved, *ranges))),
    }
    assert len(digests) == 5


def test_the_digest_does_not_depend_on_how_the_kernel_counts(snapshot: Snapshot) -> None:
    *ranges, last = snapshot.memory_map or ()
    other = replace(snapshot, memory_map=(replace(last, number=99), *ranges))
    assert handover_sha256(b"image", other) == handover_sha256(b"image", snapshot)
