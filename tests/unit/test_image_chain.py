# SPDX-License-Identifier: LGPL-2.1-or-later
"""One image through a chain of kernels that tag, split and list what they keep each in its way."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from kexecprepd.abi.setup_data import SETUP_EFI, EfiSetupData
from kexecprepd.core.finding import Severity, State
from kexecprepd.core.image import unpack
from kexecprepd.core.placement import excluded_ranges
from kexecprepd.core.snapshot import RuntimeRegion, SetupData, Snapshot
from kexecprepd.core.verdict import assess
from tests.support.recordings import BGRT, EFI_DEBUG
from tests.support.snapshots import recorded

RUNTIME = 1 << 63
BOOT_SERVICES = (3, 4)

Regions = tuple[RuntimeRegion, ...]
Kernel = Callable[[Regions], Regions]


def numbered(regions: list[RuntimeRegion]) -> Regions:
    return tuple(replace(region, number=number) for number, region in enumerate(regions))


def untagged(regions: Regions) -> Regions:
    """A coming first kernel: the regions of tables are kept whole, and without the attribute."""
    return tuple(
        replace(region, attribute=region.attribute & ~RUNTIME)
        if region.type in BOOT_SERVICES
        else region
        for region in regions
    )


def whole_ones_tagged(regions: Regions) -> Regions:
    """Linux 6.1 after a kexec: efi_reserve_boot_services() tags whole entries, some of them."""
    kept = [region.number for region in regions if region.type in BOOT_SERVICES][::2]
    return tuple(
        replace(region, attribute=region.attribute | RUNTIME) if region.number in kept else region
        for region in regions
    )


def pieces_tagged(regions: Regions) -> Regions:
    """Linux 6.12 after a kexec: efi_arch_mem_reserve() splits where a table is, and tags that."""
    pieces = []
    for region in regions:
        if region.type != 4 or region.num_pages < 3 or region.attribute & RUNTIME:
            pieces.append(region)
            continue
        last = region.num_pages - 2
        for first, pages, bit in ((0, 1, 0), (1, last, RUNTIME), (last + 1, 1, 0)):
            phys = region.phys_addr + first * 4096
            attribute = region.attribute | bit
            pieces.append(replace(region, phys_addr=phys, num_pages=pages, attribute=attribute))
    return numbered(pieces)


def scrambled(regions: Regions) -> Regions:
    """Started by kexec-tools, which takes the regions in the order of the directory."""
    return numbered([*regions[1::2], *regions[::2]])


def unchanged(regions: Regions) -> Regions:
    """A coming kernel after a kexec: as it was handed them."""
    return regions


def started(previous: Snapshot, kernel: Kernel) -> Snapshot:
    """What a kernel shows that kexec_file_load(2) has started from another."""
    handed = previous.runtime_map or ()
    params, efi = previous.boot_params, previous.efi
    assert params is not None
    assert efi is not None
    assert efi.fw_vendor is not None
    assert efi.config_table is not None
    info = replace(params.efi_info, memdesc_size=48, memmap_size=48 * len(handed))
    told = EfiSetupData(efi.fw_vendor, 0, efi.config_table, (1 << 64) - 1)
    return replace(
        previous,
        runtime_map=kernel(handed),
        boot_params=replace(params, type_of_loader=0xD0, efi_info=info),
        setup_data=(SetupData(SETUP_EFI, told),),
    )


@pytest.fixture
def coming() -> Snapshot:
    """A first kernel that does not tag what it keeps: ESRT, BGRT and MOK would be there."""
    old = recorded(BGRT)
    return replace(old, runtime_map=untagged(old.runtime_map or ()))


def test_a_kernel_that_does_not_tag_what_it_keeps_is_ready(coming: Snapshot) -> None:
    assessment = assess(coming)

    assert assessment.state is State.READY
    assert {finding.severity for finding in assessment.findings} == {Severity.INFO}
    assert assessment.image == assess(recorded(BGRT)).image
    assert assessment.image is not None
    assert all(region.is_runtime for region in unpack(assessment.image).regions)


def test_what_is_not_tagged_is_excluded(coming: Snapshot) -> None:
    assert excluded_ranges(coming) == excluded_ranges(recorded(BGRT))


@pytest.mark.parametrize("cmdline", [None, "quiet", "efi=debug"])
def test_the_command_line_makes_no_difference_where_nothing_is_tagged(
    cmdline: str | None, coming: Snapshot
) -> None:
    told = replace(coming, kernel=replace(coming.kernel, cmdline=cmdline))

    assert assess(told).sha256 == assess(coming).sha256


@pytest.mark.parametrize(
    "chain",
    [
        (whole_ones_tagged,),
        (pieces_tagged,),
        (whole_ones_tagged, pieces_tagged),
        (pieces_tagged, whole_ones_tagged),
        (scrambled, pieces_tagged, scrambled, unchanged),
    ],
    ids=lambda chain: "-".join(kernel.__name__ for kernel in chain),
)
def test_the_image_is_one_through_the_chain(chain: tuple[Kernel, ...], coming: Snapshot) -> None:
    first = assess(coming)
    snapshot = coming

    for kernel in chain:
        snapshot = started(snapshot, kernel)
        following = assess(snapshot)
        assert following.state is State.READY
        assert following.sha256 == first.sha256
        assert excluded_ranges(snapshot) == excluded_ranges(coming)


def test_pieces_that_differ_in_more_than_the_bit_are_not_one(coming: Snapshot) -> None:
    split = started(coming, pieces_tagged)
    pieces = [r for r in split.runtime_map or () if r.type == 4]
    other = replace(pieces[1], attribute=pieces[1].attribute & ~0x8)
    regions = (other if r == pieces[1] else r for r in split.runtime_map or ())

    assert assess(replace(split, runtime_map=tuple(regions))).state is State.INVALID


def test_in_a_first_kernel_pieces_are_damage(coming: Snapshot) -> None:
    split = replace(coming, runtime_map=pieces_tagged(coming.runtime_map or ()))
    assessment = assess(split)

    assert assessment.state is State.INVALID
    codes = {f.code for f in assessment.findings if f.severity is Severity.ERROR}
    assert "virt-overlap" in codes
    assert "region-split" not in {f.code for f in assessment.findings}


def test_everything_that_was_handed_on_is_in_the_image_after_efi_debug() -> None:
    # kexec-tools hands over all that efi=debug lists, and the next kernel has it for good.
    first = recorded(EFI_DEBUG)
    second = started(first, scrambled)

    assert len(first.runtime_regions) == 6
    assert len(second.runtime_regions) == 104
    assert assess(second).state is State.READY
