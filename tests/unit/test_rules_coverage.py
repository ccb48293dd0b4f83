# SPDX-License-Identifier: LGPL-2.1-or-later
"""Rules for where the regions lie in the memory map: every memory type in every kind of memory."""

from dataclasses import replace
from pathlib import Path

import pytest

from kexecprepd.core.finding import Finding, Severity
from kexecprepd.core.rules import validate
from kexecprepd.core.snapshot import MemoryRange, RuntimeRegion, Snapshot
from tests.support.damages.coverage import DANGEROUS, KEPT, SUSPICIOUS, UNUSUAL
from tests.support.damages.damage import GAP, RUNTIME, VIRT
from tests.support.recordings import (
    BGRT,
    BGRT_KEXEC_FILE,
    FIRST_KERNEL,
    add_range,
    materialise,
    set_range,
)
from tests.support.snapshots import read_snapshot, recorded

_LETTERS = {"E": None, "i": UNUSUAL, "k": KEPT, "s": SUSPICIOUS, "D": DANGEROUS}

# What an operating system may do with the memory under a region decides: what it takes as its own
# is dangerous, what it keeps off is at worst strange. The rows are memory types.
KINDS: dict[str, tuple[str | None, ...]] = {
    "reserved": ("Reserved", "reserved"),
    "gap": (None,),
    "acpi": ("ACPI Tables", "ACPI Non-volatile Storage"),
    "ram": ("System RAM", "Uncached RAM"),
    "soft": ("Soft Reserved", "Persistent Memory", "Persistent Memory (legacy)"),
    "unusable": ("Unusable memory",),
    "unknown": ("Unknown E820 type", "device reserved"),
}
TABLE = """
    types                   reserved gap acpi ram soft unusable unknown
    5 6                     E        s   s    D   D    s        E
    3 4                     E        s   s    k   s    s        i
    11 12                   E        E   s    D   D    s        i
    0                       E        i   s    D   s    i        i
    9 10                    s        s   E    D   s    s        s
    13                      E        i   s    D   s    s        i
    8                       i        i   s    s   s    E        i
    14                      s        s   s    D   E    s        s
    1 2 7                   s        s   s    D   s    s        s
    15                      s        s   s    D   s    s        s
    16 0x6fffffff           i        E   s    D   s    i        i
    0x70000000 0x7fffffff   i        E   s    D   s    i        i
    0x80000000 0xffffffff   i        E   s    D   s    i        i
"""


def cells() -> list[tuple[int, str | None, str | None]]:
    """Each memory type in each kind of memory, with the code that it must bring."""
    head, *rows = TABLE.strip().splitlines()
    columns = head.split()[1:]
    found = []
    for row in rows:
        words = row.split()
        types, letters = words[: -len(columns)], words[-len(columns) :]
        for column, letter in zip(columns, letters, strict=True):
            for type in types:
                found += [(int(type, 0), kind, _LETTERS[letter]) for kind in KINDS[column]]
    return found


@pytest.fixture(scope="module")
def healthy() -> Snapshot:
    """The first kernel, with no memory map at boot to hold today's against."""
    snapshot = recorded(FIRST_KERNEL)
    assert snapshot.boot_params
    return replace(snapshot, boot_params=replace(snapshot.boot_params, e820=()))


def with_memory(
    snapshot: Snapshot, type: int, pages: int, *ranges: tuple[int, int, str]
) -> Snapshot:
    """One more region of a type at GAP, and more memory: (first byte from GAP, last, type)."""
    region = RuntimeRegion(6, type, GAP, VIRT, pages, RUNTIME)
    more = [MemoryRange(100 + n, GAP + a, GAP + b, t) for n, (a, b, t) in enumerate(ranges)]
    return replace(
        snapshot,
        runtime_map=(*(snapshot.runtime_map or ()), region),
        memory_map=(*(snapshot.memory_map or ()), *more),
    )


def placed(snapshot: Snapshot) -> list[Finding]:
    """What is found on the place of the region at GAP."""
    codes = (DANGEROUS, SUSPICIOUS, UNUSUAL, KEPT)
    found = [f for f in validate(snapshot) if f.code in codes and f.details["region"] == 6]
    assert len(found) <= 1, "one region, one verdict"
    return found


def part(finding: Finding) -> tuple[int, int]:
    """The part of the region that decided, from GAP."""
    start, end = finding.details["part-start"], finding.details["part-end"]
    assert isinstance(start, int)
    assert isinstance(end, int)
    return start - GAP, end - GAP


@pytest.mark.parametrize(("type", "kind", "code"), cells())
def test_a_memory_type_in_a_kind_of_memory(
    healthy: Snapshot, type: int, kind: str | None, code: str | None
) -> None:
    ranges = [] if kind is None else [(0, 0xFFF, kind)]

    found = placed(with_memory(healthy, type, 1, *ranges))

    assert [finding.code for finding in found] == ([] if code is None else [code])
    assert all(part(finding) == (0, 0xFFF) for finding in found)


def test_the_table_has_every_memory_type_of_the_specification() -> None:
    assert {type for type, _, _ in cells()} >= set(range(17))


@pytest.mark.parametrize(
    ("code", "severity"),
    [
        (DANGEROUS, Severity.ERROR),
        (SUSPICIOUS, Severity.WARNING),
        (UNUSUAL, Severity.INFO),
        (KEPT, Severity.INFO),
    ],
)
def test_how_bad_a_place_is(healthy: Snapshot, code: str, severity: Severity) -> None:
    type, kind, _ = next(cell for cell in cells() if cell[2] == code and cell[1])

    (finding,) = placed(with_memory(healthy, type, 1, (0, 0xFFF, str(kind))))

    assert finding.severity is severity


@pytest.mark.parametrize(
    ("ranges", "code", "extent"),
    [
        pytest.param([(0, 0x3FFF, "Reserved")], None, None, id="all"),
        pytest.param(
            [(-0x1000, 0x1FFF, "Reserved"), (0x2000, 0x4FFF, "Reserved")],
            None,
            None,
            id="two pieces",
        ),
        pytest.param([(0, 0x2FFF, "Reserved")], SUSPICIOUS, (0x3000, 0x3FFF), id="end in a gap"),
        pytest.param([(1, 0x3FFF, "Reserved")], SUSPICIOUS, (0, 0), id="first byte in a gap"),
        pytest.param(
            [(0, 0x3FFE, "Reserved")], SUSPICIOUS, (0x3FFF, 0x3FFF), id="last byte in a gap"
        ),
        pytest.param(
            [(0, 0xFFF, "Reserved"), (0x2000, 0x3FFF, "Reserved")],
            SUSPICIOUS,
            (0x1000, 0x1FFF),
            id="hole",
        ),
        pytest.param(
            [(0, 0xFFF, "Reserved"), (0x1000, 0x1FFF, "System RAM"), (0x2000, 0x3FFF, "Reserved")],
            DANGEROUS,
            (0x1000, 0x1FFF),
            id="a page of RAM",
        ),
        pytest.param(
            [(0, 0x3FFE, "Reserved"), (0x3FFF, 0x8FFF, "System RAM")],
            DANGEROUS,
            (0x3FFF, 0x3FFF),
            id="the last byte in RAM",
        ),
        pytest.param(
            [(-0x1000, 0, "System RAM"), (1, 0x3FFF, "Reserved")],
            DANGEROUS,
            (0, 0),
            id="the first byte",
        ),
        pytest.param(
            [(0x1000, 0x1FFF, "Unusable memory"), (0x3000, 0x3FFF, "System RAM")],
            DANGEROUS,
            (0x3000, 0x3FFF),
            id="the worst part and not the first",
        ),
        pytest.param(
            [(0x1000, 0x1FFF, "System RAM"), (0x3000, 0x3FFF, "System RAM")],
            DANGEROUS,
            (0x1000, 0x1FFF),
            id="the first of two that are as bad",
        ),
        pytest.param(
            [(0, 0x3FFF, "Reserved"), (0x1000, 0x1FFF, "System RAM")],
            DANGEROUS,
            (0x1000, 0x1FFF),
            id="the worst of what two ranges say",
        ),
        pytest.param([(0x3FFF, 0, "Reserved")], SUSPICIOUS, (0, 0x3FFF), id="an inverted range"),
    ],
)
def test_the_worst_part_of_a_region_decides(
    healthy: Snapshot,
    ranges: list[tuple[int, int, str]],
    code: str | None,
    extent: tuple[int, int] | None,
) -> None:
    found = placed(with_memory(healthy, 6, 4, *ranges))

    assert [(finding.code, part(finding)) for finding in found] == (
        [] if code is None else [(code, extent)]
    )


def test_a_region_over_many_ranges(healthy: Snapshot) -> None:
    ranges = [(page << 12, (page << 12) + 0xFFF, "Reserved") for page in range(500)]

    assert placed(with_memory(healthy, 6, 500, *ranges)) == []
    del ranges[250]
    assert [part(f) for f in placed(with_memory(healthy, 6, 500, *ranges))] == [
        (250 << 12, 0xFAFFF)
    ]


def test_many_regions_in_one_range(healthy: Snapshot) -> None:
    regions = tuple(
        RuntimeRegion(10 + n, 6, GAP + (n << 12), VIRT + (n << 12), 1, RUNTIME)
        for n in reversed(range(500))
    )
    memory = MemoryRange(100, GAP, GAP + (500 << 12) - 1, "Reserved")
    snapshot = replace(
        healthy,
        runtime_map=(*(healthy.runtime_map or ()), *regions),
        memory_map=(*(healthy.memory_map or ()), memory),
    )

    assert {f.details["region"] for f in validate(snapshot) if f.code != KEPT} == set()


def test_the_order_of_the_memory_map_does_not_matter(healthy: Snapshot) -> None:
    damaged = with_memory(healthy, 6, 4, (0, 0xFFF, "Reserved"), (0x1000, 0x1FFF, "System RAM"))
    turned = replace(damaged, memory_map=tuple(reversed(damaged.memory_map or ())))

    assert placed(turned) == placed(damaged)


@pytest.mark.parametrize("memory_map", [None, ()])
def test_without_a_memory_map_no_place_is_judged(
    healthy: Snapshot, memory_map: tuple[MemoryRange, ...] | None
) -> None:
    snapshot = replace(with_memory(healthy, 7, 1), memory_map=memory_map)

    assert placed(snapshot) == []


def test_a_region_reserved_after_all_is_not_to_be_kept_out_of(tree: Path) -> None:
    set_range(tree, 5, end=0x7DD3_AFFF)
    add_range(tree, 0x7DD3_B000, 0x7DD3_BFFF, "Reserved")
    add_range(tree, 0x7DD3_C000, 0x7EA9_FFFF, "System RAM")

    assert validate(read_snapshot(tree)) == ()


def test_the_message_names_the_memory(healthy: Snapshot) -> None:
    (finding,) = placed(with_memory(healthy, 6, 1, (0, 0xFFF, "ACPI Tables")))

    assert "region 6 (RuntimeServicesData) lies in ACPI's memory" in finding.message


def test_what_kexec_tools_cuts_off_the_memory_map_is_no_fault(tmp_path: Path) -> None:
    # Of page 0, which boot services keep here, the first 0x400 bytes are missing.
    root = materialise(BGRT_KEXEC_FILE, tmp_path)
    set_range(root, 0, start=0x400)

    assert {finding.code for finding in validate(read_snapshot(root))} == {KEPT}


def test_in_a_first_kernel_nothing_is_cut_off(tmp_path: Path) -> None:
    root = materialise(BGRT, tmp_path)
    set_range(root, 0, start=0x400)

    assert SUSPICIOUS in {finding.code for finding in validate(read_snapshot(root))}
