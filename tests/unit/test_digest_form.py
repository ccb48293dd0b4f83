# SPDX-License-Identifier: LGPL-2.1-or-later
"""What goes into the digest of a handover: a version to come has to make the same of the same."""

import hashlib
from dataclasses import replace

import pytest

from kexecprepd.core.handover_digest import handover_sha256
from kexecprepd.core.snapshot import MemoryBlocks, MemoryRange, Snapshot
from tests.support.recordings import FIRST_KERNEL
from tests.support.snapshots import recorded

GIB = 1 << 30


@pytest.fixture
def snapshot() -> Snapshot:
    """Memory up to 6 GiB, of which the last GiB is absent, and one region of the firmware's."""
    whole = recorded(FIRST_KERNEL)
    assert whole.runtime_map is not None
    return replace(
        whole,
        memory_map=(
            MemoryRange(0, 0, GIB - 1, "System RAM"),
            MemoryRange(1, GIB, 2 * GIB - 1, "Reserved"),
            MemoryRange(2, 4 * GIB, 6 * GIB - 1, "System RAM"),
        ),
        memory_blocks=MemoryBlocks(GIB, (0, 4)),
        runtime_map=(replace(whole.runtime_map[0], phys_addr=GIB, num_pages=1),),
    )


def test_it_is_of_the_canonical_json_of_what_a_load_depends_on(snapshot: Snapshot) -> None:
    canonical = (
        '{"absent":[[5368709120,6442450943]],'
        '"excluded":[[1073741824,1073745919],[5368709120,6442450943]],'
        '"image":"ab00",'
        '"memory-map":[[0,1073741823,"system ram"],[1073741824,2147483647,"reserved"],'
        '[4294967296,5368709119,"system ram"]]}'
    )

    digest = hashlib.sha256(canonical.encode()).hexdigest()
    assert handover_sha256(b"\xab\0", snapshot) == digest


def test_a_kernel_that_writes_types_in_another_way_makes_no_difference(snapshot: Snapshot) -> None:
    old = tuple(replace(each, type=each.type.lower()) for each in snapshot.memory_map or ())

    assert handover_sha256(b"", replace(snapshot, memory_map=old)) == handover_sha256(b"", snapshot)
