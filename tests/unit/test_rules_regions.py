# SPDX-License-Identifier: LGPL-2.1-or-later
"""Rules for the runtime regions alone: what each catches, and the edge of what is right."""

from itertools import pairwise
from pathlib import Path

import pytest

from kexecprepd.core.finding import Finding, Severity
from kexecprepd.core.rules import validate
from tests.support.recordings import (
    EFI_DEBUG,
    MEMMAP,
    Damage,
    add_region,
    damage,
    materialise,
    remove,
    set_range,
    set_region,
    write,
)
from tests.support.snapshots import read_snapshot

RUNTIME = 1 << 63
GAP = 0xD000_0000
"""An address that the recordings' memory map says nothing of."""

RAM = 0x2000_0000
"""An address in System RAM."""

VIRT = 0xFFFF_FFFE_D000_0000
"""Where nothing is mapped, congruent with GAP and RAM."""


def add(root: Path, **changes: int) -> int:
    """One more region of MMIO, healthy but for `changes`; its number."""
    healthy = {"type": 11, "phys_addr": GAP, "virt_addr": VIRT, "num_pages": 1}
    return add_region(root, **{"attribute": RUNTIME | 1, **healthy, **changes})


def fill(root: Path, count: int) -> None:
    """Regions until there are `count` of them, side by side in the gap."""
    for page in range(count - 6):
        number = 6 + page
        for name, value in (
            ("type", 11),
            ("phys_addr", GAP + page * 4096),
            ("virt_addr", VIRT + page * 4096),
            ("num_pages", 1),
            ("attribute", RUNTIME),
        ):
            path = root / f"sys/firmware/efi/runtime-map/{number}/{name}"
            path.parent.mkdir(exist_ok=True)
            path.write_text(f"{value:#x}\n")


def split(root: Path, *pages: int) -> None:
    """Boot-services data of 8 pages in RAM, as a kexec'd kernel splits it at these."""
    data = {"type": 4, "attribute": RUNTIME | 15}
    for first, end in pairwise((0, *pages, 8)):
        add(root, **data, phys_addr=RAM + first * 4096, num_pages=end - first)


# The first kernel's regions 0 to 5: MMIO, data, code, data, data, boot-services data, descending.
# Region 5 lies alone in System RAM, 0 in a Reserved range of its own.
DAMAGE: dict[str, dict[str, Damage]] = {
    "region-empty": {
        "no pages": damage(lambda root: set_region(root, 1, num_pages=0)),
        "no pages, not handed over": damage(
            lambda root: add(root, num_pages=0, attribute=15, type=4), also=("region-unexplained",)
        ),
        "all zero": damage(
            lambda root: add(root, type=0, phys_addr=0, virt_addr=0, num_pages=0, attribute=RUNTIME)
        ),
    },
    "region-overflow": {
        "more pages than 31 bits": damage(lambda root: set_region(root, 0, num_pages=1 << 31)),
        "more pages than 32 bits": damage(lambda root: set_region(root, 0, num_pages=1 << 32)),
        "64 bits of pages": damage(lambda root: set_region(root, 0, num_pages=(1 << 64) - 1)),
        "one page beyond 52 bits": damage(
            lambda root: set_region(root, 0, phys_addr=(1 << 52) - 0x3F_F000)
        ),
        "the last page of 64 bits": damage(
            lambda root: set_region(root, 0, phys_addr=(1 << 64) - 0x40_0000)
        ),
        "beyond the address space": damage(
            lambda root: set_region(root, 0, phys_addr=(1 << 64) - 0x1000)
        ),
        "not handed over": damage(
            lambda root: add(root, phys_addr=(1 << 64) - 0x1000, attribute=15, type=4),
            also=("region-unexplained",),
        ),
    },
    "region-misaligned": {
        "physical": damage(lambda root: add(root, phys_addr=GAP + 0x800)),
        "virtual": damage(lambda root: add(root, virt_addr=VIRT + 8)),
    },
    "virt-outside-window": {
        "unmapped": damage(lambda root: set_region(root, 5, virt_addr=0)),
        "1:1": damage(lambda root: set_region(root, 5, virt_addr=0x7DD3_B000)),
        "below": damage(lambda root: set_region(root, 5, virt_addr=0xFFFF_FFEE_FFF3_B000)),
        "above": damage(lambda root: set_region(root, 5, virt_addr=0xFFFF_FFFF_0013_B000)),
        "over the top": damage(
            lambda root: add(root, virt_addr=0xFFFF_FFFE_FFE0_0000, num_pages=0x201),
            also=("virt-overlap",),
        ),
        "wrapping": damage(lambda root: set_region(root, 5, virt_addr=(1 << 64) - 0x1000)),
    },
    "virt-incongruent": {
        "by a page": damage(lambda root: add(root, virt_addr=VIRT + 0x1000)),
        "by the highest bit that counts": damage(
            lambda root: add(root, virt_addr=VIRT + (1 << 20))
        ),
    },
    "phys-overlap": {
        "the same page": damage(
            lambda root: add(root), lambda root: add(root, virt_addr=VIRT + 0x20_0000)
        ),
        "by a page": damage(
            lambda root: add(root, num_pages=2),
            lambda root: add(root, phys_addr=GAP + 0x1000, virt_addr=VIRT + 0x20_1000, num_pages=2),
        ),
        "one in the other": damage(
            lambda root: add(root, num_pages=9),
            lambda root: add(root, phys_addr=GAP + 0x1000, virt_addr=VIRT + 0x20_1000),
        ),
    },
    "virt-overlap": {
        "the same page": damage(
            lambda root: add(root), lambda root: add(root, phys_addr=GAP + 0x20_0000)
        ),
        "by a page": damage(
            lambda root: add(root, num_pages=2),
            lambda root: add(root, phys_addr=GAP + 0x20_1000, virt_addr=VIRT + 0x1000, num_pages=2),
        ),
    },
    "too-many-regions": {"one more": damage(lambda root: fill(root, 6551))},
    "region-conventional": {
        "free memory": damage(lambda root: set_region(root, 1, type=7), also=("region-misplaced",)),
        "unaccepted memory": damage(
            lambda root: set_region(root, 1, type=15), also=("region-misplaced",)
        ),
    },
    "region-without-runtime": {
        "efi=debug": damage(
            lambda root: add(root, type=3, attribute=15),
            lambda root: write(root, "proc/cmdline", "quiet efi=nochunk,debug\n"),
        ),
        "command line not known": damage(
            lambda root: add(root, type=4, attribute=15), lambda root: remove(root, "proc/cmdline")
        ),
    },
    "region-split": {
        "in two": damage(lambda root: split(root, 4)),
        "in three": damage(lambda root: split(root, 4, 6)),
    },
    "region-unexplained": {
        "boot services without efi=debug": damage(lambda root: add(root, type=4, attribute=15)),
        "RAM with efi=debug": damage(
            lambda root: add(root, type=7, attribute=15),
            lambda root: write(root, "proc/cmdline", "efi=debug\n"),
        ),
        "runtime code": damage(lambda root: add(root, type=5, attribute=15)),
    },
    "attribute-unknown": {
        "bit 5": damage(lambda root: add(root, attribute=RUNTIME | 1 << 5)),
        "bit 21": damage(lambda root: add(root, attribute=RUNTIME | 1 << 21)),
        "bit 43": damage(lambda root: add(root, attribute=RUNTIME | 1 << 43)),
        "bit 61": damage(lambda root: add(root, attribute=RUNTIME | 1 << 61)),
    },
    "type-undefined": {
        "16": damage(lambda root: add(root, type=16)),
        "the last": damage(lambda root: add(root, type=0x6FFF_FFFF)),
    },
}

NO_HARM = ("region-split", "region-without-runtime")

DAMAGED_REGIONS = [
    (code, name)
    for code, cases in DAMAGE.items()
    for name in cases
    if code.startswith(("region-", "virt-", "phys-")) and code not in NO_HARM
]


def findings_of(root: Path) -> tuple[Finding, ...]:
    """What validation says of a tree, but for the healthy note on region 5."""
    found = validate(read_snapshot(root))
    return tuple(each for each in found if each.code != "boot-services-kept")


def codes_of(root: Path) -> set[str]:
    return {finding.code for finding in findings_of(root)}


@pytest.mark.parametrize(("code", "name"), DAMAGED_REGIONS, ids=str)
def test_the_numbers_of_the_region_are_in_the_details(code: str, name: str, tree: Path) -> None:
    DAMAGE[code][name].do(tree)
    regions = {region.number: region for region in read_snapshot(tree).runtime_map or ()}

    for finding in findings_of(tree):
        number = finding.details["region"]
        assert isinstance(number, int)
        assert finding.details["phys-addr"] == regions[number].phys_addr
        assert finding.details["virt-addr"] == regions[number].virt_addr
        assert finding.details["num-pages"] == regions[number].num_pages
        assert finding.details["attribute"] == regions[number].attribute
        assert str(number) in finding.message


def test_one_byte_above_the_window_is_outside(tree: Path) -> None:
    set_region(tree, 0, virt_addr=0xFFFF_FFFE_FFC0_0001)

    assert codes_of(tree) == {"region-misaligned", "virt-outside-window"}


def test_an_overlap_names_both_regions_and_its_extent(tree: Path) -> None:
    first = add(tree, num_pages=2)
    second = add(tree, phys_addr=GAP + 0x1000, virt_addr=VIRT + 0x20_1000, num_pages=2)

    (finding,) = findings_of(tree)

    assert f"{first} and {second}" in finding.message
    assert (finding.details["other-region"], finding.details["region"]) == (first, second)
    assert finding.details["overlap-start"] == GAP + 0x1000
    assert finding.details["overlap-end"] == GAP + 0x1FFF


def test_a_region_that_reaches_far_overlaps_all_that_follow(tree: Path) -> None:
    wide = add(tree, num_pages=0x100)
    inner = [
        add(tree, phys_addr=GAP + at, virt_addr=VIRT + 0x40_0000 + at)
        for at in (0x1000, 0x8000, 0xF_F000)
    ]

    pairs = {(f.details["other-region"], f.details["region"]) for f in findings_of(tree)}

    assert pairs == {(wide, number) for number in inner}


def test_a_missing_virtual_address_is_told_from_a_strange_one(tree: Path) -> None:
    set_region(tree, 5, virt_addr=0)
    set_region(tree, 4, virt_addr=0x7EAA_0000)

    messages = [finding.message for finding in findings_of(tree)]

    assert any("4" in m and "mapped outside" in m for m in messages)
    assert any("5" in m and "no virtual address" in m for m in messages)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"virt_addr": 0xFFFF_FFEF_0000_0000}, id="bottom of the window"),
        pytest.param(
            {"virt_addr": 0xFFFF_FFFE_F000_0000, "num_pages": 0xD000}, id="reaches a neighbour"
        ),
        pytest.param(
            {"phys_addr": (1 << 52) - 0x20_0000, "num_pages": 0x200}, id="last page there is"
        ),
        pytest.param({"phys_addr": GAP + 0x1000, "virt_addr": VIRT + 0x1000}, id="congruent"),
        pytest.param({"virt_addr": VIRT + (1 << 21)}, id="congruent in the bits that count"),
        pytest.param({"attribute": RUNTIME}, id="no cacheability"),
        pytest.param({"attribute": RUNTIME | 0x4FFF_F000_001F_F01F}, id="every bit with a name"),
        pytest.param({"type": 0x7000_0000}, id="first OEM type"),
        pytest.param({"type": 0xFFFF_FFFF}, id="last OS type"),
    ],
)
def test_the_edge_of_what_is_right_is_right(tree: Path, changes: dict[str, int]) -> None:
    add(tree, **changes)

    assert not findings_of(tree)


def test_the_top_of_the_window_is_in_it(tree: Path) -> None:
    # The recording's own region 0 ends there.
    (top,) = [r for r in read_snapshot(tree).runtime_regions if r.number == 0]

    assert top.virt_end == 0xFFFF_FFFE_FFFF_FFFF
    assert not findings_of(tree)


def test_page_0_can_be_a_region(tree: Path) -> None:
    add(tree, type=3, phys_addr=0)

    assert not findings_of(tree)


def test_neighbours_do_not_overlap(tree: Path) -> None:
    add(tree, num_pages=2)
    add(tree, phys_addr=GAP + 0x2000, virt_addr=VIRT + 0x2000)
    add(tree, phys_addr=GAP - 0x1000, virt_addr=VIRT - 0x1000)

    assert not findings_of(tree)


def test_as_many_regions_as_can_be_handed_over_are_not_too_many(tree: Path) -> None:
    fill(tree, 6550)

    assert not findings_of(tree)


def test_regions_that_are_left_out_are_not_too_many(tree: Path) -> None:
    fill(tree, 6550)
    extra = 6550
    for name, value in (
        ("type", 4),
        ("phys_addr", GAP - 0x1000),
        ("virt_addr", 0),
        ("num_pages", 1),
        ("attribute", 15),
    ):
        write(tree, f"sys/firmware/efi/runtime-map/{extra}/{name}", f"{value:#x}\n")

    assert codes_of(tree) == {"region-unexplained"}


@pytest.mark.parametrize(
    "changes", [{"phys_addr": 0x801}, {"virt_addr": 0}, {"phys_addr": 0x7F5E_C000}]
)
def test_where_a_region_lies_that_is_left_out_does_not_matter(
    changes: dict[str, int], tree: Path
) -> None:
    add(tree, type=4, attribute=15, **changes)

    assert codes_of(tree) == {"region-unexplained"}


def test_efi_debug_is_noted_once_with_how_many_it_lists(tmp_path: Path) -> None:
    (finding,) = findings_of(materialise(EFI_DEBUG, tmp_path))

    assert (finding.severity, finding.code) == (Severity.INFO, "region-without-runtime")
    assert finding.details == {"count": 98}


def test_a_region_without_pages_overlaps_nothing_and_lies_nowhere(tree: Path) -> None:
    add(tree, phys_addr=0x7F5E_C000, virt_addr=0xFFFF_FFFE_FF1E_C000, num_pages=0)
    set_range(tree, 8, type="System RAM")
    remove(tree, MEMMAP)

    assert codes_of(tree) == {"region-empty", "memmap-missing"}


def test_an_overlap_beyond_64_bits_is_told_up_to_them(tree: Path) -> None:
    # A detail goes over D-Bus as an unsigned 64-bit number.
    last_page = (1 << 64) - 0x1000
    add(tree, virt_addr=last_page, num_pages=2)
    add(tree, phys_addr=GAP + 0x20_0000, virt_addr=last_page, num_pages=2)

    (finding,) = [each for each in findings_of(tree) if each.code == "virt-overlap"]

    assert finding.details["overlap-start"] == last_page
    assert finding.details["overlap-end"] == (1 << 64) - 1
