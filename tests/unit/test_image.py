# SPDX-License-Identifier: LGPL-2.1-or-later
"""The image: byte for byte what real loaders hand over, and the same in every kernel."""

import hashlib
import struct
from pathlib import Path
from typing import NamedTuple

import pytest

from kexecprepd.abi.efi import KERNEL_HALF
from kexecprepd.core.image import (
    ImageError,
    acpi_rsdp,
    compose,
    efi_info,
    physical_runtime,
    sha256,
    unpack,
)
from kexecprepd.core.placement import excluded_ranges
from kexecprepd.core.snapshot import Snapshot
from kexecprepd.core.verdict import assess
from tests.support import recordings
from tests.support.recordings import (
    BOOT_PARAMS,
    DATA,
    EFI,
    EFI_DEBUG,
    FIRST_KERNEL,
    FIRST_KERNEL_1G,
    KEXEC_FILE,
    KEXEC_SYSCALL,
    add_region,
    materialise,
    patch,
    remove,
    set_region,
    write,
)
from tests.support.snapshots import published, read_snapshot, recorded

SETUP_EFI = 4


class Decoded(NamedTuple):
    """An image as a loader's own decoder sees it."""

    header: tuple[int, int, int]
    tables: tuple[int, ...]
    reserved: bytes
    descriptors: list[tuple[int, ...]]


def decode(image: bytes) -> Decoded:
    """Written from the layout in the manual, with nothing of kexecprepd."""
    assert (len(image) - 112) % 40 == 0
    return Decoded(
        header=struct.unpack_from("<QII", image, 0),
        tables=struct.unpack_from("<QQQQ", image, 16),
        reserved=image[48:112],
        descriptors=[struct.unpack_from("<IIQQQQ", image, at) for at in range(112, len(image), 40)],
    )


def image_of(seen: Path | Snapshot) -> bytes:
    image = assess(seen if isinstance(seen, Snapshot) else read_snapshot(seen)).image
    assert image is not None
    return image


def handed_over(root: Path) -> bytes:
    """The SETUP_EFI payload that the loader of a second kernel gave it."""
    (node,) = [
        kind.parent
        for kind in (root / "sys/kernel/boot_params/setup_data").glob("*/type")
        if int(kind.read_text(), 16) == SETUP_EFI
    ]
    return (node / "data").read_bytes()


def test_the_payload_is_the_one_that_kexec_tools_handed_over(tmp_path: Path) -> None:
    root = materialise(KEXEC_SYSCALL, tmp_path)

    assert image_of(root)[16:112] == handed_over(root)


@pytest.mark.parametrize("name", [KEXEC_FILE, recordings.BGRT_KEXEC_FILE])
def test_the_payload_is_the_one_that_the_kernels_loader_handed_over(
    name: str, tmp_path: Path
) -> None:
    root = materialise(name, tmp_path)
    handed = handed_over(root)
    image = image_of(root)

    # Since Linux 5.7 the kernel's loader leaves `runtime` 0.
    assert handed[8:16] == bytes(8)
    assert image[16:24] + image[32:112] == handed[:8] + handed[16:]


def test_the_whole_image_is_the_golden_one() -> None:
    golden = bytes.fromhex((DATA / "golden-kexec-syscall.hex").read_text())

    assert image_of(recorded(KEXEC_SYSCALL)) == golden


@pytest.mark.parametrize("name", recordings.HEALTHY)
def test_an_independent_decoder_finds_what_sysfs_shows(name: str, tmp_path: Path) -> None:
    root = materialise(name, tmp_path)

    def shown(path: str) -> int:
        return int((root / EFI / path).read_text(), 16)

    entries = sorted(
        (
            tuple(shown(f"runtime-map/{entry.name}/{name}") for name in recordings.ATTRIBUTES)
            for entry in (root / recordings.RUNTIME_MAP).iterdir()
        ),
        key=lambda entry: entry[1],
    )
    decoded = decode(image_of(root))

    assert decoded.header == (0, SETUP_EFI, 96)
    fw_vendor, runtime, tables, smbios = decoded.tables
    assert (fw_vendor, tables) == (shown("fw_vendor"), shown("config_table"))
    # This firmware keeps the runtime services table 256 bytes below the other one.
    assert runtime == tables - 0x100
    assert f"SMBIOS={smbios:#x}\n" in (root / EFI / "systab").read_text()
    assert decoded.reserved == bytes(64)
    expected = [(entry[0], 0, *entry[1:]) for entry in entries if entry[4] >> 63]
    assert decoded.descriptors == expected


def test_the_order_that_a_loader_left_makes_no_difference() -> None:
    # Two kexecs of the same machine: kexec-tools scrambled the order, the kernel kept it.
    syscall, file = recorded(KEXEC_SYSCALL), recorded(KEXEC_FILE)

    assert syscall.runtime_map != file.runtime_map
    assert image_of(syscall) == image_of(file)


def test_the_image_is_the_same_in_the_kernel_that_kexec_starts(tree: Path) -> None:
    first = image_of(tree)
    started_by_kexec(tree)
    regions = read_snapshot(tree).runtime_map
    assert regions is not None
    for number, old in enumerate((5, 3, 1, 4, 2, 0)):
        values = {name: getattr(regions[old], name) for name in recordings.ATTRIBUTES}
        set_region(tree, number, **values)
    # The firmware has converted the pointer in its system table.
    write(tree, f"{EFI}/runtime", "0xfffffffeff1ebb98\n")

    assert image_of(tree) == first


def started_by_kexec(root: Path) -> None:
    """Let a kernel say that another one started it."""
    patch(root, BOOT_PARAMS, 0x210, b"\xd0")


BOOT_SERVICES_DATA = {
    "type": 4,
    "phys_addr": 0x2000_0000,
    "virt_addr": 0xFFFF_FFFE_D000_0000,
    "num_pages": 8,
    "attribute": 0x8000_0000_0000_000F,
}


def test_a_region_that_a_kexecd_kernel_has_split_is_handed_over_whole(tree: Path) -> None:
    started_by_kexec(tree)
    number = add_region(tree, **BOOT_SERVICES_DATA)
    whole = image_of(tree)

    set_region(tree, number, num_pages=3)
    rest = {"phys_addr": 0x2000_3000, "num_pages": 5}
    add_region(tree, **{**BOOT_SERVICES_DATA, **rest})

    assert image_of(tree) == whole


@pytest.mark.parametrize(
    "changes",
    [
        {"virt_addr": 0xFFFF_FFFE_D000_8000},
        {"attribute": 0x8000_0000_0000_0001, "virt_addr": 0xFFFF_FFFE_D000_8000},
    ],
    ids=str,
)
def test_regions_that_only_adjoin_stay_apart(tree: Path, changes: dict[str, int]) -> None:
    started_by_kexec(tree)
    add_region(tree, **BOOT_SERVICES_DATA)
    add_region(tree, **{**BOOT_SERVICES_DATA, "phys_addr": 0x2000_8000, **changes})

    assert len(decode(image_of(tree)).descriptors) == 8


def test_efi_debug_adds_nothing_to_the_image() -> None:
    plain, debug = recorded(FIRST_KERNEL_1G), recorded(EFI_DEBUG)

    assert len(debug.runtime_map or ()) == 104
    assert image_of(debug) == image_of(plain)


@pytest.mark.parametrize("name", ["asus-ux391fa-first-kernel", "intel-brickland-4s"])
def test_efi_debug_on_a_real_machine_leaves_the_same_memory(name: str) -> None:
    plain = decode(image_of(published(name)))
    debug = decode(image_of(published(name, efi_debug=True)))

    def physical(decoded: Decoded) -> list[tuple[int, ...]]:
        return [(type, phys, pages) for type, _, phys, _, pages, _ in decoded.descriptors]

    assert physical(plain) == physical(debug)


def test_boot_services_regions_that_the_kernel_kept_stay_in_the_image() -> None:
    decoded = decode(image_of(recorded(recordings.BGRT)))

    assert [descriptor[0] for descriptor in decoded.descriptors] == [3, 4, 4, 6, 6, 5, 6, 11]


def test_descriptors_ascend_by_physical_address_and_their_padding_is_zero() -> None:
    descriptors = decode(image_of(recorded(FIRST_KERNEL))).descriptors

    addresses = [descriptor[2] for descriptor in descriptors]
    assert addresses == sorted(addresses)
    assert {descriptor[1] for descriptor in descriptors} == {0}


def test_without_an_smbios_line_the_entry_point_is_all_ones(tree: Path) -> None:
    write(tree, f"{EFI}/systab", "ACPI20=0x7f77d014\nSMBIOS3=0x7f520000\n")

    assert decode(image_of(tree)).tables[3] == 0xFFFF_FFFF_FFFF_FFFF


def test_a_runtime_table_that_no_region_maps_is_told_as_not_there(tree: Path) -> None:
    write(tree, f"{EFI}/runtime", "0xffffffff00001000\n")

    assert decode(image_of(tree)).tables[1] == 0


@pytest.mark.parametrize(
    ("shown", "physical"),
    [
        (0x7F5E_BB98, 0x7F5E_BB98),
        (0xFFFF_FFFE_FF0E_C000, 0x7F4E_C000),
        (0xFFFF_FFFE_FF1E_BFFF, 0x7F5E_BFFF),
        (0xFFFF_FFFE_FF1E_C000, 0x7F5E_C000),
        (0xFFFF_FFFE_FF0E_BFFF, None),
        (0xFFFF_FFEF_0000_0000, None),
        (0xFFFF_8880_3F5E_BB98, None),
    ],
)
def test_a_virtual_runtime_table_is_found_through_the_map(
    tree: Path, shown: int, physical: int | None
) -> None:
    write(tree, f"{EFI}/runtime", f"{shown:#x}\n")

    assert physical_runtime(read_snapshot(tree)) == physical


def test_the_kernel_s_first_address_is_a_virtual_one(tree: Path) -> None:
    write(tree, f"{EFI}/runtime", f"{KERNEL_HALF:#x}\n")
    region = next(r for r in read_snapshot(tree).runtime_regions if r.phys_addr == 0x7F4E_C000)
    set_region(tree, region.number, virt_addr=KERNEL_HALF)

    assert physical_runtime(read_snapshot(tree)) == 0x7F4E_C000


def test_a_runtime_table_beyond_the_address_space_has_no_address(tree: Path) -> None:
    write(tree, f"{EFI}/runtime", "0xfffffffeff0ed000\n")
    number = next(
        r.number for r in read_snapshot(tree).runtime_regions if r.phys_addr == 0x7F4E_C000
    )
    set_region(tree, number, phys_addr=0xFFFF_FFFF_FFFF_F000)

    snapshot = read_snapshot(tree)

    assert physical_runtime(snapshot) is None
    assert unpack(compose(snapshot).pack()).tables.runtime == 0


def test_unpack_undoes_pack() -> None:
    image = image_of(recorded(FIRST_KERNEL))

    taken_apart = unpack(image)

    assert taken_apart.pack() == image
    assert [region.number for region in taken_apart.regions] == list(range(6))
    assert taken_apart.tables.tables == 0x7F5E_BC98
    assert taken_apart.regions[0].phys_addr == 0x7DD3_B000


@pytest.mark.parametrize(
    ("offset", "content", "complaint"),
    [
        (0, b"\x01", "header"),
        (8, b"\x05", "header"),
        (12, b"\x5f", "header"),
        (48, b"\x01", "reserved"),
        (111, b"\x01", "reserved"),
        (116, b"\x01", "padding of descriptor 0"),
        (112 + 40 + 7, b"\x01", "padding of descriptor 1"),
    ],
)
def test_bytes_that_are_no_image_are_not_taken_apart(
    offset: int, content: bytes, complaint: str
) -> None:
    image = bytearray(image_of(recorded(FIRST_KERNEL)))
    image[offset : offset + 1] = content

    with pytest.raises(ImageError, match=complaint):
        unpack(bytes(image))


@pytest.mark.parametrize("size", [0, 16, 111, 113, 151, 153])
def test_a_length_that_no_image_has_is_refused(size: int) -> None:
    with pytest.raises(ImageError, match="length"):
        unpack(image_of(recorded(FIRST_KERNEL))[:size])


def test_an_image_without_regions_can_be_taken_apart() -> None:
    assert unpack(image_of(recorded(FIRST_KERNEL))[:112]).regions == ()


@pytest.mark.parametrize("path", [EFI, f"{EFI}/config_table", f"{EFI}/fw_vendor"])
def test_without_efi_tables_there_is_no_image(tree: Path, path: str) -> None:
    remove(tree, recordings.RUNTIME_MAP)
    remove(tree, path)

    with pytest.raises(ImageError):
        compose(read_snapshot(tree))


def test_the_digest_is_that_of_the_image() -> None:
    assessment = assess(recorded(FIRST_KERNEL))

    assert assessment.image is not None
    digest = hashlib.sha256(assessment.image).hexdigest()
    assert assessment.sha256 == sha256(assessment.image) == digest


def test_every_region_of_the_image_is_excluded_and_no_other() -> None:
    snapshot = recorded(recordings.BGRT)
    excluded = excluded_ranges(snapshot)

    assert [(each.start, each.end) for each in excluded] == [
        (phys, phys + pages * 4096 - 1)
        for _, _, phys, _, pages, _ in decode(image_of(snapshot)).descriptors
    ]
    assert "BootServicesCode" in excluded[0].why


def test_boot_services_that_are_not_in_the_image_are_excluded_all_the_same() -> None:
    snapshot = recorded(EFI_DEBUG)
    excluded = excluded_ranges(snapshot)

    assert len(decode(image_of(snapshot)).descriptors) == 6
    assert [(each.start, each.end) for each in excluded] == sorted(
        (region.phys_addr, region.phys_end) for region in snapshot.runtime_map or ()
    )
    assert len(excluded) == 104


def test_efi_info_without_an_address_leaves_the_memmap_to_the_loader() -> None:
    info = struct.unpack("<4s7I", efi_info(recorded(FIRST_KERNEL)))

    assert info == (b"EL64", 0x7F5E_B018, 40, 1, 0, 240, 0, 0)


def test_efi_info_is_all_zero_where_this_kernel_has_none(tree: Path) -> None:
    remove(tree, recordings.RUNTIME_MAP)
    remove(tree, "sys/kernel/boot_params")

    assert efi_info(read_snapshot(tree), 0x10_0000) == bytes(32)


def test_acpis_root_pointer_is_what_this_kernel_was_told(tmp_path: Path) -> None:
    root = materialise(KEXEC_FILE, tmp_path)
    patch(root, BOOT_PARAMS, 0x70, struct.pack("<Q", 0x1_2345_6000))

    assert acpi_rsdp(read_snapshot(root)) == 0x1_2345_6000


@pytest.mark.parametrize(
    ("systab", "rsdp"),
    [
        ("ACPI=0x1000\nACPI20=0x2000\n", 0x2000),
        ("ACPI=0x1000\n", 0x1000),
        ("SMBIOS=0x3000\n", 0),
    ],
)
def test_a_kernel_that_was_not_told_takes_the_firmwares_newest(
    tree: Path, systab: str, rsdp: int
) -> None:
    write(tree, f"{EFI}/systab", systab)

    assert acpi_rsdp(read_snapshot(tree)) == rsdp
