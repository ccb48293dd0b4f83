# SPDX-License-Identifier: LGPL-2.1-or-later
"""Every bit of every entry of the runtime map, flipped alone: what of that stays `ready`, and why.

Nothing of it may be `unsupported`. What is `ready` all the same has a row in READY: a change that
does no harm in the next kernel, or one that leaves a map which another machine could show, so that
nothing in sysfs speaks against it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import pytest

from kexecprepd.core.finding import State
from kexecprepd.core.snapshot import RuntimeRegion, Snapshot
from kexecprepd.core.verdict import assess
from tests.support.recordings import BGRT_KEXEC_FILE, FIRST_KERNEL
from tests.support.snapshots import recorded

WIDTHS = {"type": 32, "phys_addr": 64, "virt_addr": 64, "num_pages": 64, "attribute": 64}
"""The attributes of an entry, in bits."""

CODE = (3, 5)
"""The memory types that the kernel maps executable: efi_map_region() and __map_region()."""


@dataclass(frozen=True)
class Flip:
    """One bit of one attribute of a region that was `before`, and is `after`."""

    before: RuntimeRegion
    after: RuntimeRegion
    attribute: str
    bit: int


@dataclass(frozen=True)
class Harmless:
    """Flips that may stay `ready`, and the reason."""

    covers: Callable[[Flip], bool]
    why: str


READY: dict[str, Harmless] = {
    "a capability": Harmless(
        lambda flip: flip.attribute == "attribute" and flip.bit < 63,
        "The bits say what the memory could do. Of those of a runtime region the kernel looks at "
        "write-back alone, for its mapping's cache mode, in which the MTRRs have the last word.",
    ),
    "the attribute of a kept region": Harmless(
        lambda flip: flip.attribute == "attribute" and flip.before.is_boot_services,
        "Kernels differ in whether they tag what they keep; the image is the same either way.",
    ),
    "a type that is mapped": Harmless(
        lambda flip: flip.attribute == "type" and flip.before.type not in CODE,
        "The region is handed over at the same addresses, and stays as readable and writable as it "
        "was; what is not code may become executable, which takes a protection and no function.",
    ),
    "a place as good": Harmless(
        lambda flip: flip.attribute == "phys_addr" and flip.bit >= 21 and not _is_memory(flip),
        "Device memory in a gap, or a table's pages elsewhere in RAM: where they are, the runtime "
        "map alone says. A lost table is not looked up; memory that is the firmware's is refused.",
    ),
    "a mapping as good": Harmless(
        lambda flip: flip.attribute == "virt_addr" and flip.bit >= 21,
        "By whole 2 MiB, in the window and over no other, in a first kernel in its order as well: "
        "the kernel could have mapped it there, as it does where boot services lie in between.",
    ),
    "a size as good": Harmless(
        lambda flip: flip.attribute == "num_pages" and flip.bit < 13,
        "Over no other region, in memory of its kind, with all of the tables in it: the firmware "
        "could have made it so.",
    ),
}


def _is_memory(flip: Flip) -> bool:
    """Whether the firmware runs in the region, so that its place is known to the memory map."""
    return flip.before.type in (5, 6)


def flips(snapshot: Snapshot) -> Iterator[tuple[Flip, Snapshot]]:
    """Each flip, and what is read then."""
    regions = snapshot.runtime_map or ()
    for region in regions:
        for attribute, width in WIDTHS.items():
            for bit in range(width):
                value = getattr(region, attribute) ^ (1 << bit)
                changed = replace(region, **{attribute: value})
                others = tuple(changed if each is region else each for each in regions)
                flip = Flip(region, changed, attribute, bit)
                yield flip, replace(snapshot, runtime_map=others)


@pytest.fixture(scope="module", params=[FIRST_KERNEL, BGRT_KEXEC_FILE])
def judged(request: pytest.FixtureRequest) -> list[tuple[Flip, State]]:
    """Every flip of a recording, and the state that it puts the system in."""
    snapshot = recorded(request.param)
    return [(flip, assess(changed).state) for flip, changed in flips(snapshot)]


def test_no_flip_is_taken_for_a_system_without_a_map(judged: list[tuple[Flip, State]]) -> None:
    assert [flip for flip, state in judged if state is State.UNSUPPORTED] == []


def test_what_stays_ready_has_a_reason(judged: list[tuple[Flip, State]]) -> None:
    ready = [flip for flip, state in judged if state is State.READY]

    unexplained = [
        (flip.before.number, flip.attribute, flip.bit)
        for flip in ready
        if not any(row.covers(flip) for row in READY.values())
    ]
    assert unexplained == []
    unused = [n for n, row in READY.items() if not any(row.covers(flip) for flip in ready)]
    assert unused == []


def test_the_firmware_is_where_the_memory_map_has_it(judged: list[tuple[Flip, State]]) -> None:
    ready = [flip for flip, state in judged if state is State.READY]

    assert [f for f in ready if f.attribute == "phys_addr" and f.before.type in (5, 6)] == []


def test_what_breaks_the_next_kernel_for_certain_is_refused(
    judged: list[tuple[Flip, State]],
) -> None:
    refused = {
        (flip.attribute, flip.bit)
        for flip, state in judged
        if state is State.INVALID and flip.before.type == 5
    }
    # The only code: its type, its attribute, and its place below 2 MiB or beyond the window.
    assert refused >= {("type", bit) for bit in range(32)}
    assert ("attribute", 63) in refused
    assert refused >= {("phys_addr", bit) for bit in (*range(21), *range(52, 64))}
    outside = (*range(21), 32, *range(36, 64))
    assert refused >= {("virt_addr", bit) for bit in outside}
    assert refused >= {("num_pages", bit) for bit in range(13, 64)}
