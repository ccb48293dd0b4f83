# SPDX-License-Identifier: LGPL-2.1-or-later
"""The systems with nothing to hand over: each is told in its own words."""

from collections.abc import Callable
from pathlib import Path

import pytest

from kexecprepd.core.finding import Finding, Severity, State
from kexecprepd.core.unsupported import REASONS, unsupported
from kexecprepd.core.verdict import assess
from tests.support import recordings
from tests.support.recordings import (
    BOOT_PARAMS,
    EFI,
    RUNTIME_MAP,
    materialise,
    patch,
    remove,
    set_region,
    write,
)
from tests.support.secrecy import addresses_in
from tests.support.snapshots import read_snapshot, recorded


def answer(root: Path) -> Finding:
    """Why a tree has nothing to hand over; asked of the assessment too."""
    snapshot = read_snapshot(root)
    finding = unsupported(snapshot)
    assert finding is not None
    assert finding.severity is Severity.INFO
    assert not addresses_in(finding.message + finding.hint)
    assessment = assess(snapshot)
    assert assessment.state is State.UNSUPPORTED
    assert assessment.reason == finding.message
    assert (assessment.findings, assessment.image, assessment.sha256) == ((finding,), None, "")
    return finding


def without_map(root: Path, cmdline: str | None) -> Path:
    remove(root, RUNTIME_MAP)
    if cmdline is None:
        remove(root, "proc")
    else:
        write(root, "proc/cmdline", cmdline + "\n")
    return root


@pytest.mark.parametrize("name", recordings.HEALTHY)
def test_a_recording_with_runtime_services_is_supported(name: str) -> None:
    assert unsupported(recorded(name)) is None


def test_a_bios_boot_is_not_uefi(tree: Path) -> None:
    remove(tree, EFI)

    finding = answer(tree)

    assert finding.code == "not-uefi"
    assert "UEFI" in finding.message
    assert "CSM" in finding.hint


def test_a_machine_without_boot_params_is_not_uefi(tree: Path) -> None:
    remove(tree, EFI)
    remove(tree, "sys/kernel/boot_params")

    assert answer(tree).code == "not-uefi"


def test_the_noruntime_recording_names_the_option(tmp_path: Path) -> None:
    finding = answer(materialise(recordings.NO_RUNTIME, tmp_path))

    assert finding.code == "runtime-services-off"
    assert "efi=noruntime" in finding.message
    assert "efi=noruntime" in finding.hint


@pytest.mark.parametrize(
    ("cmdline", "option"),
    [
        ("quiet noefi", "noefi"),
        ("efi=noruntime", "efi=noruntime"),
        ("efi=debug,noruntime quiet", "efi=noruntime"),
        ("efi=debug efi=noruntime", "efi=noruntime"),
        ("efi=runtime efi=noruntime", "efi=noruntime"),
    ],
)
def test_the_option_that_switched_runtime_services_off_is_named(
    tree: Path, cmdline: str, option: str
) -> None:
    finding = answer(without_map(tree, cmdline))

    assert finding.code == "runtime-services-off"
    assert option in finding.message
    assert option in finding.hint


@pytest.mark.parametrize(
    "cmdline",
    [
        "efi=noruntime efi=runtime",
        "noefi efi=runtime",
        "efi=noruntime,runtime",
        "efi=runtime,noruntime",
        "xefi=noruntime noefi.x efi=noruntimes",
    ],
)
def test_options_that_leave_runtime_services_on_are_not_blamed(tree: Path, cmdline: str) -> None:
    finding = answer(without_map(tree, cmdline))

    assert finding.code == "no-runtime-map"
    assert "CONFIG_EFI_RUNTIME_MAP" in finding.message


def test_a_realtime_kernel_is_told_how_to_have_runtime_services(tree: Path) -> None:
    write(tree, "sys/kernel/realtime", "1\n")

    finding = answer(without_map(tree, "quiet"))

    assert finding.code == "realtime-kernel"
    assert "real-time" in finding.message
    assert "efi=runtime" in finding.hint


def test_a_realtime_kernel_with_efi_runtime_is_not_told_to_add_it(tree: Path) -> None:
    write(tree, "sys/kernel/realtime", "1\n")

    assert answer(without_map(tree, "efi=runtime")).code == "no-runtime-map"


def test_an_option_after_efi_runtime_counts_again(tree: Path) -> None:
    assert answer(without_map(tree, "efi=runtime noefi")).code == "runtime-services-off"


def test_an_option_is_blamed_before_the_realtime_kernel(tree: Path) -> None:
    write(tree, "sys/kernel/realtime", "1\n")

    assert answer(without_map(tree, "noefi")).code == "runtime-services-off"


def test_a_realtime_kernel_that_has_the_map_is_supported(tree: Path) -> None:
    write(tree, "sys/kernel/realtime", "1\n")

    assert unsupported(read_snapshot(tree)) is None


def test_a_missing_map_without_a_command_line_names_every_cause(tree: Path) -> None:
    finding = answer(without_map(tree, None))

    assert finding.code == "no-runtime-map"
    for cause in ("noefi", "efi=noruntime", "real-time", "CONFIG_EFI_RUNTIME_MAP"):
        assert cause in finding.message


def test_mixed_mode_is_32_bit_firmware(tmp_path: Path) -> None:
    finding = answer(materialise(recordings.MIXED_MODE, tmp_path))

    assert finding.code == "firmware-32-bit"
    assert "32-bit" in finding.message


def direct_map(number: int) -> int:
    return 0xFFFF_8880_0000_0000 + number * 0x1000_0000


@pytest.mark.parametrize(
    "base",
    [
        pytest.param(direct_map(0), id="direct map"),
        pytest.param(0xFFFF_8800_0000_0000, id="direct map before 4.20"),
        pytest.param(0xFFFF_C900_0000_0000, id="ioremap"),
        pytest.param(0xFF11_0000_0000_0000, id="5-level paging"),
    ],
)
def test_old_map_is_told_by_its_addresses(tree: Path, base: int) -> None:
    for number in range(6):
        set_region(tree, number, virt_addr=base + number * 0x1000_0000)

    finding = answer(tree)

    assert finding.code == "efi-old-map"
    assert "efi=old_map" in finding.hint


def test_an_old_map_option_that_the_kernel_ignored_changes_nothing(tree: Path) -> None:
    write(tree, "proc/cmdline", "efi=old_map\n")

    assert unsupported(read_snapshot(tree)) is None


def test_old_map_is_told_by_the_command_line_where_one_region_has_no_mapping(tree: Path) -> None:
    for number in range(6):
        set_region(tree, number, virt_addr=direct_map(number))
    set_region(tree, 0, virt_addr=0)
    write(tree, "proc/cmdline", "quiet efi=debug,old_map\n")

    assert answer(tree).code == "efi-old-map"


def test_one_region_outside_the_window_is_not_an_old_map(tree: Path) -> None:
    set_region(tree, 0, virt_addr=direct_map(0))

    assert unsupported(read_snapshot(tree)) is None


def test_addresses_in_the_lower_half_are_not_an_old_map(tree: Path) -> None:
    for number in range(6):
        set_region(tree, number, virt_addr=0x1000_0000 * number)

    assert unsupported(read_snapshot(tree)) is None


def signed_by_xen(root: Path) -> None:
    patch(root, BOOT_PARAMS, 0x1C0, b"Xen\0")


def under_xen_without_a_map(root: Path) -> None:
    write(root, "sys/hypervisor/type", "xen\n")
    remove(root, RUNTIME_MAP)
    for name in ("fw_vendor", "runtime", "config_table"):
        remove(root, f"{EFI}/{name}")


@pytest.mark.parametrize("make_xen", [signed_by_xen, under_xen_without_a_map])
def test_xen_keeps_the_runtime_services_to_itself(
    tree: Path, make_xen: Callable[[Path], None]
) -> None:
    make_xen(tree)

    finding = answer(tree)

    assert finding.code == "xen"
    assert "Xen" in finding.message


def test_a_xen_guest_with_efi_of_its_own_is_supported(tree: Path) -> None:
    write(tree, "sys/hypervisor/type", "xen\n")

    assert unsupported(read_snapshot(tree)) is None


def test_another_descriptor_version_is_named(tree: Path) -> None:
    patch(tree, BOOT_PARAMS, 0x1C0 + 12, b"\x02\0\0\0")

    finding = answer(tree)

    assert finding.code == "descriptor-version"
    assert "version 2" in finding.message


def without_entries(root: Path) -> None:
    remove(root, RUNTIME_MAP)
    (root / RUNTIME_MAP).mkdir()


def test_a_map_without_entries_has_nothing_to_hand_over(tree: Path) -> None:
    without_entries(tree)

    finding = answer(tree)

    assert finding.code == "no-runtime-regions"
    assert "RUNTIME" in finding.message


def test_every_case_has_a_code_and_a_sentence_of_its_own(tmp_path: Path) -> None:
    def version_2(root: Path) -> None:
        patch(root, BOOT_PARAMS, 0x1C0 + 12, b"\x02")

    def narrow(root: Path) -> None:
        write(root, f"{EFI}/fw_platform_size", "32\n")
        patch(root, BOOT_PARAMS, 0x1C0, b"EL32")

    def realtime(root: Path) -> None:
        write(without_map(root, ""), "sys/kernel/realtime", "1\n")

    def old_map(root: Path) -> None:
        for number in range(6):
            set_region(root, number, virt_addr=direct_map(number))

    cases: tuple[Callable[[Path], object], ...] = (
        lambda root: remove(root, EFI),
        lambda root: without_map(root, "noefi"),
        lambda root: without_map(root, "efi=noruntime"),
        lambda root: without_map(root, "quiet"),
        realtime,
        narrow,
        old_map,
        signed_by_xen,
        version_2,
        without_entries,
        lambda root: remove(root, "sys/firmware"),
    )
    findings = []
    for number, damage in enumerate(cases):
        root = materialise(recordings.FIRST_KERNEL, tmp_path / str(number))
        damage(root)
        findings.append(answer(root))

    findings.append(answer(materialise(recordings.ARM64, tmp_path / "arm64")))

    assert len({finding.message for finding in findings}) == len(findings)
    # noefi and efi=noruntime are one case in two spellings.
    assert len({finding.hint for finding in findings}) == len(findings) - 1
    assert {finding.code for finding in findings} == {reason.code for reason in REASONS}


def test_an_hvm_guest_of_xen_is_told_of_its_own_command_line(tree: Path) -> None:
    write(tree, "sys/hypervisor/type", "xen\n")

    assert answer(without_map(tree, "efi=noruntime")).code == "runtime-services-off"


def test_an_arm64_system_has_nothing_to_prepare(tmp_path: Path) -> None:
    finding = answer(materialise(recordings.ARM64, tmp_path))

    assert finding.code == "other-architecture"
    assert "device tree" in finding.message
    assert "CONFIG_EFI_RUNTIME_MAP" not in finding.message + finding.hint


def test_a_masked_sys_firmware_is_not_taken_for_a_bios(tree: Path) -> None:
    remove(tree, "sys/firmware")

    finding = answer(tree)

    assert finding.code == "efi-hidden"
    assert "booted through UEFI" in finding.message
    assert "host" in finding.hint


def test_a_kernel_that_failed_to_set_efi_up_was_booted_through_uefi(tree: Path) -> None:
    remove(tree, EFI)

    assert "was booted through UEFI" in answer(tree).message


def test_a_bios_boot_says_so_in_boot_params_too(tree: Path) -> None:
    remove(tree, EFI)
    patch(tree, BOOT_PARAMS, 0x1C0, bytes(4))

    assert "not booted through UEFI" in answer(tree).message


def test_a_plain_command_line_without_a_map_is_not_blamed_on_one_option(tree: Path) -> None:
    finding = answer(without_map(tree, "quiet"))

    assert "CONFIG_EFI_DISABLE_RUNTIME" in finding.message
    assert "before 6.8" in finding.message
    assert "log" in finding.hint
