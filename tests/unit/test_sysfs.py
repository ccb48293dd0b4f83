# SPDX-License-Identifier: LGPL-2.1-or-later
"""Reading sysfs: the files say it, and the snapshot says it."""

from pathlib import Path

import pytest

from kexecprepd.abi.setup_data import EfiSetupData
from kexecprepd.core.snapshot import MemoryRange, RuntimeRegion, SetupData
from tests.support import recordings
from tests.support.recordings import (
    BOOT_PARAMS,
    EFI,
    MEMMAP,
    RUNTIME_MAP,
    add_range,
    add_region,
    materialise,
    patch,
    remove,
    set_region,
    write,
)
from tests.support.snapshots import read_snapshot


def region_paths(root: Path) -> list[Path]:
    return sorted((root / RUNTIME_MAP).iterdir())


def test_a_region_and_a_range_are_read_as_the_files_say(tree: Path) -> None:
    snapshot = read_snapshot(tree)

    assert snapshot.runtime_map is not None
    assert snapshot.runtime_map[2] == RuntimeRegion(
        2, 5, 0x7F5E_C000, 0xFFFF_FFFE_FF1E_C000, 0x100, 0x8000_0000_0000_000F
    )
    assert snapshot.memory_map is not None
    assert snapshot.memory_map[6] == MemoryRange(6, 0x7EAA_0000, 0x7EBA_1FFF, "Reserved")


def test_the_efi_tables_are_read_as_the_files_say(tree: Path) -> None:
    efi = read_snapshot(tree).efi

    assert efi is not None
    assert (efi.fw_platform_size, efi.fw_vendor) == (64, 0x7F52_AA18)
    assert (efi.runtime, efi.config_table) == (0x7F5E_BB98, 0x7F5E_BC98)
    assert efi.systab == (
        ("ACPI20", 0x7F77_D014),
        ("ACPI", 0x7F77_D000),
        ("SMBIOS", 0x7F52_0000),
    )


def test_boot_params_are_read_from_their_offsets(tmp_path: Path) -> None:
    params = read_snapshot(materialise(recordings.KEXEC_FILE, tmp_path)).boot_params

    assert params is not None
    assert params.efi_info.signature == b"EL64"
    assert (params.efi_info.systab, params.acpi_rsdp) == (0x7F5E_B018, 0x7F77_D014)
    assert (params.efi_info.memdesc_size, params.efi_info.memdesc_version) == (0x30, 1)
    assert (params.efi_info.memmap_size, params.secure_boot) == (0x120, 2)
    assert params.type_of_loader == 0xD0


def test_the_upper_half_of_the_system_tables_address_is_read(tree: Path) -> None:
    patch(tree, BOOT_PARAMS, 0x1C0 + 24, b"\x34\x12\0\0")

    params = read_snapshot(tree).boot_params

    assert params is not None
    assert params.efi_info.systab == 0x1234_7F5E_B018


def test_of_setup_data_only_the_efi_node_is_opened(tmp_path: Path) -> None:
    root = materialise(recordings.KEXEC_SYSCALL, tmp_path)
    other = "sys/kernel/boot_params/setup_data/0/data"
    remove(root, other)
    (root / other).mkdir()  # whoever reads it fails

    nodes = read_snapshot(root).setup_data

    assert nodes[0] == SetupData(9, None)
    assert nodes[1].type == 4
    assert isinstance(nodes[1].content, EfiSetupData)


def test_the_kernel_tells_its_command_line_and_that_it_is_not_realtime(tree: Path) -> None:
    kernel = read_snapshot(tree).kernel

    assert kernel.cmdline is not None
    assert kernel.cmdline.split()[0] == "console=ttyS0"
    assert (kernel.realtime, kernel.hypervisor) == (False, None)


def test_what_a_tree_of_sys_alone_does_not_tell_is_none(tmp_path: Path) -> None:
    root = materialise(recordings.FIRST_KERNEL, tmp_path, cmdline=False)

    kernel = read_snapshot(root).kernel

    assert (kernel.cmdline, kernel.realtime, kernel.hypervisor) == (None, None, None)


def test_realtime_is_told_by_sysfs_and_by_the_version(tree: Path) -> None:
    write(tree, "sys/kernel/realtime", "1\n")
    assert read_snapshot(tree).kernel.realtime is True
    write(tree, "sys/kernel/realtime", "0\n")
    assert read_snapshot(tree).kernel.realtime is False
    remove(tree, "sys/kernel/realtime")
    write(tree, "proc/version", "Linux version 6.1.0-rt #1 SMP PREEMPT_RT Debian\n")
    assert read_snapshot(tree).kernel.realtime is True


def test_eleven_regions_come_in_numeric_order_whatever_readdir_says(tree: Path) -> None:
    set_region(tree, 0, num_pages=0x40)
    for at in range(5):
        add_region(
            tree,
            type=11,
            phys_addr=0xE000_0000 + at * 0x1000,
            virt_addr=0xFFFF_FFFE_E000_0000 + at * 0x1000,
            num_pages=1,
            attribute=1 << 63,
        )
    # Making the directories anew in another order changes what readdir answers.
    for number in (10, 0, 3, 7, 1, 9):
        entry = tree / RUNTIME_MAP / str(number)
        entry.rename(tree / "aside")
        (tree / "aside").rename(entry)

    snapshot = read_snapshot(tree)

    assert snapshot.runtime_map is not None
    assert [region.number for region in snapshot.runtime_map] == list(range(11))
    assert snapshot.runtime_map[10].phys_addr == 0xE000_4000
    assert snapshot.runtime_map[2].phys_addr == 0x7F5E_C000


def test_memory_ranges_come_in_numeric_order(tree: Path) -> None:
    snapshot = read_snapshot(tree)

    assert snapshot.memory_map is not None
    numbers = [each.number for each in snapshot.memory_map]
    assert len(numbers) > 10
    assert numbers == sorted(numbers)


def test_a_gap_in_the_memory_map_is_what_hot_remove_leaves(tree: Path) -> None:
    before = read_snapshot(tree).memory_map
    remove(tree, f"{MEMMAP}/4")

    after = read_snapshot(tree).memory_map

    assert before is not None
    assert after == before[:4] + before[5:]


def test_an_empty_runtime_map_is_not_an_absent_one(tree: Path) -> None:
    for entry in region_paths(tree):
        remove(tree, f"{RUNTIME_MAP}/{entry.name}")
    assert read_snapshot(tree).runtime_map == ()
    remove(tree, RUNTIME_MAP)
    assert read_snapshot(tree).runtime_map is None


def test_without_efi_and_boot_params_both_are_none(tree: Path) -> None:
    remove(tree, EFI)
    remove(tree, "sys/kernel/boot_params")

    snapshot = read_snapshot(tree)

    assert (snapshot.efi, snapshot.runtime_map, snapshot.boot_params) == (None, None, None)


def test_without_firmware_memmap_the_memory_map_is_none(tree: Path) -> None:
    remove(tree, MEMMAP)

    assert read_snapshot(tree).memory_map is None


def test_values_that_the_kernel_hides_are_none_where_there_is_no_runtime_map(tree: Path) -> None:
    remove(tree, RUNTIME_MAP)
    for name in ("fw_vendor", "runtime", "config_table"):
        remove(tree, f"{EFI}/{name}")

    efi = read_snapshot(tree).efi

    assert efi is not None
    assert (efi.fw_vendor, efi.runtime, efi.config_table) == (None, None, None)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (f"{RUNTIME_MAP}/5/type", (1 << 32) - 1),
        (f"{RUNTIME_MAP}/5/phys_addr", (1 << 64) - 1),
        (f"{RUNTIME_MAP}/5/num_pages", 0),
        (f"{MEMMAP}/5/end", (1 << 64) - 1),
        (f"{EFI}/config_table", (1 << 64) - 1),
    ],
)
def test_the_ends_of_a_fields_range_can_be_read(tree: Path, path: str, value: int) -> None:
    write(tree, path, f"{value:#x}\n")

    read_snapshot(tree)


def test_an_empty_systab_lists_no_tables(tree: Path) -> None:
    write(tree, f"{EFI}/systab", "")

    efi = read_snapshot(tree).efi

    assert efi is not None
    assert efi.systab == ()
    assert efi.table("SMBIOS") is None


def test_an_added_range_is_read(tree: Path) -> None:
    number = add_range(tree, 0x1_8000_0000, 0x1_FFFF_FFFF, "System RAM")

    snapshot = read_snapshot(tree)

    assert snapshot.memory_map is not None
    assert snapshot.memory_map[-1] == MemoryRange(
        number, 0x1_8000_0000, 0x1_FFFF_FFFF, "System RAM"
    )
