# SPDX-License-Identifier: LGPL-2.1-or-later
"""Rules for the runtime regions alone: what each catches, and the edge of what is right."""

from dataclasses import replace
from pathlib import Path

import pytest

from kexecprepd.core.finding import Severity
from kexecprepd.core.snapshot import RuntimeRegion
from tests.support.damages import damaged
from tests.support.damages.damage import GAP, RUNTIME, VIRT
from tests.support.damages.regions import DAMAGE, RAM, add, filled, untagged
from tests.support.findings import codes_of, findings_of
from tests.support.recordings import (
    BGRT_KEXEC_FILE,
    BOOT_PARAMS,
    EFI_DEBUG,
    FIRST_KERNEL,
    MEMMAP,
    patch,
    remove,
    set_range,
    set_region,
    write,
)
from tests.support.snapshots import read_snapshot, recorded

NO_HARM = ("region-split", "region-without-runtime", "boot-services-untagged")

DAMAGED_REGIONS = [
    (code, name)
    for code, cases in DAMAGE.items()
    for name in cases
    if code.startswith(("region-", "virt-", "phys-")) and code not in NO_HARM
]


@pytest.mark.parametrize(("code", "name"), DAMAGED_REGIONS, ids=str)
def test_the_numbers_of_the_region_are_in_the_details(code: str, name: str) -> None:
    snapshot = damaged(code, name)
    regions = {region.number: region for region in snapshot.runtime_map or ()}

    for finding in [each for each in findings_of(snapshot) if each.code == code]:
        number = finding.details["region"]
        assert isinstance(number, int)
        assert finding.details["phys-addr"] == regions[number].phys_addr
        assert finding.details["virt-addr"] == regions[number].virt_addr
        assert finding.details["num-pages"] == regions[number].num_pages
        assert finding.details["attribute"] in (
            regions[number].attribute,
            regions[number].attribute | RUNTIME,  # as it is in the image
        )
        assert str(number) in finding.message


def test_one_byte_above_the_window_is_outside(tree: Path) -> None:
    set_region(tree, 0, virt_addr=0xFFFF_FFFE_FFC0_0001)

    assert codes_of(tree) == {"region-misaligned", "virt-outside-window"}


def test_an_overlap_names_both_regions_and_its_extent(tree: Path) -> None:
    first = add(tree, num_pages=2)
    second = add(tree, phys_addr=GAP + 0x1000, virt_addr=VIRT - 0x1F_F000, num_pages=2)

    (finding,) = findings_of(tree)

    assert f"{first} and {second}" in finding.message
    assert (finding.details["other-region"], finding.details["region"]) == (first, second)
    assert finding.details["overlap-start"] == GAP + 0x1000
    assert finding.details["overlap-end"] == GAP + 0x1FFF


def test_a_region_that_reaches_far_overlaps_all_that_follow(tree: Path) -> None:
    wide = add(tree, num_pages=0x100)
    inner = [
        add(tree, phys_addr=GAP + at, virt_addr=VIRT - 0x40_0000 + at)
        for at in (0xF_F000, 0x8000, 0x1000)
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
    add(tree, phys_addr=GAP + 0x2000, virt_addr=VIRT + 0x2000)
    add(tree, num_pages=2)
    add(tree, phys_addr=GAP - 0x1000, virt_addr=VIRT - 0x1000)

    assert not findings_of(tree)


def test_as_many_regions_as_can_be_handed_over_are_not_too_many() -> None:
    assert not findings_of(filled(recorded(FIRST_KERNEL), 6550))


def test_regions_that_are_left_out_are_not_too_many() -> None:
    full = filled(recorded(FIRST_KERNEL), 6550)
    left_out = RuntimeRegion(6550, 4, RAM, 0, 1, 15)

    snapshot = replace(
        full,
        runtime_map=(*(full.runtime_map or ()), left_out),
        kernel=replace(full.kernel, cmdline="efi=debug"),
    )

    assert codes_of(snapshot) == {"region-without-runtime"}


@pytest.mark.parametrize("changes", [{"virt_addr": 0}, {"phys_addr": GAP}])
def test_where_a_region_lies_that_is_left_out_does_not_matter(
    changes: dict[str, int], tree: Path
) -> None:
    write(tree, "proc/cmdline", "efi=debug\n")
    untagged(tree, **changes)

    assert codes_of(tree) == {"region-without-runtime"}


@pytest.mark.parametrize("order", [(0, 2, 1), (2, 1, 0)])
def test_a_kernel_that_kexec_started_lists_its_regions_in_any_order(
    order: tuple[int, ...], tree: Path
) -> None:
    patch(tree, BOOT_PARAMS, 0x210, b"\xd0")
    for page in order:
        add(tree, phys_addr=GAP + page * 0x1000, virt_addr=VIRT + page * 0x1000)

    assert not findings_of(tree)


def test_more_regions_than_were_handed_are_not_lost() -> None:
    # What a kexec'd kernel has split, and what an even older one had split before it.
    assert not findings_of(recorded(BGRT_KEXEC_FILE))
    assert codes_of(damaged("region-split", "in three")) == {"region-split"}


def test_the_regions_of_a_first_kernel_are_fewer_than_the_firmwares() -> None:
    snapshot = recorded(FIRST_KERNEL)
    params = snapshot.boot_params
    assert params

    assert params.efi_info.memmap_size // params.efi_info.memdesc_size > 100
    assert "regions-lost" not in codes_of(snapshot)


def test_a_region_that_was_not_in_order_is_named_with_its_neighbour() -> None:
    (finding,) = findings_of(damaged("virt-not-descending", "2 MiB up"))

    assert (finding.details["other-region"], finding.details["region"]) == (3, 4)
    assert "3 and 4" in finding.message


def test_in_a_kernel_that_kexec_started_the_firmware_is_not_blamed() -> None:
    first = findings_of(damaged("region-unexplained", "runtime code"))
    second = findings_of(damaged("region-unexplained", "after kexec"))

    assert "firmware" not in first[0].hint
    assert "this kernel has its maps from what loaded it" in second[0].hint.lower()


def test_efi_debug_is_noted_once_with_how_many_it_lists() -> None:
    (finding,) = findings_of(recorded(EFI_DEBUG))

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
