# SPDX-License-Identifier: LGPL-2.1-or-later
"""The rules: each catches its damage and nothing else, and leaves healthy machines alone."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from kexecprepd.assessment import Assessment, assess
from kexecprepd.findings import Finding, Severity, State
from kexecprepd.sysfs import ReadError, read_snapshot
from kexecprepd.validation import RULES, validate
from tests.support import recordings
from tests.support.recordings import (
    BOOT_PARAMS,
    EFI,
    KEXEC_SYSCALL,
    MACHINES,
    add_region,
    machine,
    materialise,
    materialise_machine,
    patch,
    set_region,
    write,
)

ADDRESS = re.compile(r"0x[0-9a-f]{5,}|\d{6,}", re.IGNORECASE)
RUNTIME = 1 << 63
WHOLE_MACHINES = tuple(name for name in MACHINES if "kind" not in machine(name))
PARTIAL_MACHINES = tuple(name for name in MACHINES if machine(name).get("kind") == "partial")
NEGATIVE_MACHINES = tuple(name for name in MACHINES if machine(name).get("kind") == "negative")


def findings_of(root: Path) -> tuple[Finding, ...]:
    return validate(read_snapshot(root))


def assess_tree(root: Path) -> Assessment:
    return assess(read_snapshot(root))


Damage = Callable[[Path], None]

# By the code of the rule that must catch it, and alone. The first kernel's regions 0 to 5:
# MMIO, data, code, data, data, boot-services data, descending.
DAMAGE: dict[str, dict[str, Damage]] = {
    "region-empty": {
        "no pages": lambda root: set_region(root, 1, num_pages=0),
    },
    "region-overflow": {
        "more pages than 32 bits": lambda root: set_region(root, 0, num_pages=1 << 32),
        "64 bits of pages": lambda root: set_region(root, 0, num_pages=(1 << 64) - 1),
        "the last page there is": lambda root: set_region(root, 0, phys_addr=(1 << 64) - 0x40_0000),
        "beyond the address space": lambda root: set_region(root, 0, phys_addr=(1 << 64) - 0x1000),
    },
    "region-misaligned": {
        "physical": lambda root: set_region(root, 2, phys_addr=0x7F5E_C800),
        "virtual": lambda root: set_region(root, 2, virt_addr=0xFFFF_FFFE_FF1E_C008),
    },
    "virt-outside-window": {
        "unmapped": lambda root: set_region(root, 5, virt_addr=0),
        "1:1": lambda root: set_region(root, 5, virt_addr=0x7DD3_B000),
        "below": lambda root: set_region(root, 5, virt_addr=0xFFFF_FFEE_FFFF_F000),
        "above": lambda root: set_region(root, 5, virt_addr=0xFFFF_FFFF_0000_0000),
        "over the top": lambda root: set_region(root, 0, num_pages=0x401),
        "wrapping": lambda root: set_region(root, 5, virt_addr=(1 << 64) - 0x1000),
    },
    "phys-overlap": {
        "by a page": lambda root: set_region(root, 3, phys_addr=0x7F4E_D000),
        "the same": lambda root: set_region(root, 4, phys_addr=0x7F4E_C000),
    },
    "virt-overlap": {
        "by a page": lambda root: set_region(root, 4, virt_addr=0xFFFF_FFFE_FEFE_B000),
    },
    "efi-info-incomplete": {
        "no signature": lambda root: patch(root, BOOT_PARAMS, 0x1C0, bytes(4)),
        "32-bit signature": lambda root: patch(root, BOOT_PARAMS, 0x1C0, b"EL32"),
        "no system table": lambda root: patch(root, BOOT_PARAMS, 0x1C4, bytes(4)),
        "descriptor version": lambda root: patch(root, BOOT_PARAMS, 0x1CC, b"\x02"),
    },
    "table-missing": {
        "fw_vendor 0": lambda root: write(root, f"{EFI}/fw_vendor", "0x0\n"),
        "config_table 0": lambda root: write(root, f"{EFI}/config_table", "0x0\n"),
        "all-ones": lambda root: write(root, f"{EFI}/config_table", "0xffffffffffffffff\n"),
    },
    "runtime-table-lost": {
        "virtual": lambda root: write(root, f"{EFI}/runtime", "0xffffffff00001000\n"),
    },
}
CASES = [(code, name) for code, cases in DAMAGE.items() for name in cases]


@pytest.mark.parametrize("code", [rule.code for rule in RULES])
def test_every_rule_has_a_damage_that_it_is_tried_on(code: str) -> None:
    assert DAMAGE.get(code), f"give DAMAGE what {code} catches"


def test_codes_are_told_apart_and_say_what_to_do() -> None:
    assert len({rule.code for rule in RULES}) == len(RULES)
    assert all(rule.hint for rule in RULES)


@pytest.mark.parametrize(("code", "name"), CASES, ids=lambda value: str(value))
def test_a_damage_is_caught_by_its_rule_alone(code: str, name: str, tree: Path) -> None:
    DAMAGE[code][name](tree)

    findings = findings_of(tree)

    assert {finding.code for finding in findings} == {code}
    rule = next(rule for rule in RULES if rule.code == code)
    assert {(finding.severity, finding.hint) for finding in findings} == {
        (rule.severity, rule.hint)
    }


@pytest.mark.parametrize(("code", "name"), CASES, ids=lambda value: str(value))
def test_no_message_holds_an_address(code: str, name: str, tree: Path) -> None:
    DAMAGE[code][name](tree)

    for finding in findings_of(tree):
        assert not ADDRESS.search(finding.message + finding.hint)


@pytest.mark.parametrize(
    ("code", "name"),
    [(code, name) for code, name in CASES if code.startswith(("region-", "virt-", "phys-"))],
    ids=lambda value: str(value),
)
def test_the_numbers_of_the_region_are_in_the_details(code: str, name: str, tree: Path) -> None:
    DAMAGE[code][name](tree)
    regions = {region.number: region for region in read_snapshot(tree).runtime_regions}

    for finding in findings_of(tree):
        number = finding.details["region"]
        assert isinstance(number, int)
        assert finding.details["phys-addr"] == regions[number].phys_addr
        assert finding.details["virt-addr"] == regions[number].virt_addr
        assert finding.details["num-pages"] == regions[number].num_pages
        assert str(number) in finding.message


def test_one_byte_above_the_window_is_outside(tree: Path) -> None:
    set_region(tree, 0, virt_addr=0xFFFF_FFFE_FFC0_0001)

    codes = {finding.code for finding in findings_of(tree)}

    assert codes == {"region-misaligned", "virt-outside-window"}


def test_an_overlap_names_both_regions_and_its_extent(tree: Path) -> None:
    set_region(tree, 3, phys_addr=0x7F4E_D000)

    (finding,) = findings_of(tree)

    assert "3 and 2" in finding.message
    assert (finding.details["other-region"], finding.details["region"]) == (3, 2)
    assert finding.details["overlap-start"] == 0x7F5E_C000
    assert finding.details["overlap-end"] == 0x7F5E_CFFF


def test_a_missing_table_is_named(tree: Path) -> None:
    write(tree, f"{EFI}/fw_vendor", "0x0\n")

    (finding,) = findings_of(tree)

    assert "fw_vendor" in finding.message


@pytest.mark.parametrize(
    ("number", "attributes"),
    [
        pytest.param(5, {"virt_addr": 0xFFFF_FFEF_0000_0000}, id="bottom of the window"),
        pytest.param(0, {"phys_addr": (1 << 64) - 0x40_1000}, id="last but one page there is"),
        pytest.param(5, {"phys_addr": 0}, id="page 0"),
        pytest.param(5, {"attribute": RUNTIME}, id="no cacheability"),
        pytest.param(5, {"type": 0x7000_0001}, id="OEM type"),
    ],
)
def test_the_edge_of_what_is_right_is_right(
    tree: Path, number: int, attributes: dict[str, int]
) -> None:
    # The top of the window and adjacent regions are in every recording.
    set_region(tree, number, **attributes)

    assert not findings_of(tree)


def test_a_damaged_region_without_the_runtime_attribute_is_not_judged(tree: Path) -> None:
    add_region(tree, type=4, phys_addr=0x801, virt_addr=0, num_pages=0, attribute=0xF)

    assert not findings_of(tree)


def test_errors_come_before_warnings(tree: Path) -> None:
    write(tree, f"{EFI}/runtime", "0xffffffff00001000\n")
    write(tree, f"{EFI}/config_table", "0x0\n")
    set_region(tree, 1, num_pages=0)

    severities = [finding.severity for finding in findings_of(tree)]

    assert severities == [Severity.ERROR, Severity.ERROR, Severity.WARNING]


@pytest.mark.parametrize("name", recordings.HEALTHY)
def test_a_healthy_recording_is_ready(name: str, tmp_path: Path) -> None:
    assessment = assess_tree(materialise(name, tmp_path))

    assert assessment.state is State.READY
    assert assessment.count(Severity.WARNING) == assessment.count(Severity.ERROR) == 0
    assert assessment.image is not None
    assert not ADDRESS.search(assessment.reason)


@pytest.mark.parametrize("name", WHOLE_MACHINES)
def test_a_machine_that_worked_is_not_refused(name: str, tmp_path: Path) -> None:
    assessment = assess_tree(materialise_machine(name, tmp_path))

    mixed = machine(name).get("mixed_mode", False)
    assert assessment.state is (State.UNSUPPORTED if mixed else State.READY)


@pytest.mark.parametrize("name", PARTIAL_MACHINES)
def test_the_published_part_of_a_machine_is_not_refused(name: str, tmp_path: Path) -> None:
    assert assess_tree(materialise_machine(name, tmp_path)).state is State.READY


@pytest.mark.parametrize("name", NEGATIVE_MACHINES)
@pytest.mark.parametrize(("attribute", "refused"), [(0, False), (RUNTIME, True)])
def test_an_all_zero_descriptor_is_refused_where_it_would_be_handed_over(
    name: str, attribute: int, refused: bool, tree: Path
) -> None:
    zero = machine(name)["invalid_descriptors"][0]
    add_region(
        tree,
        type=zero["type"],
        phys_addr=int(zero["phys_addr"], 16),
        virt_addr=0,
        num_pages=zero["num_pages"],
        attribute=int(zero["attribute"], 16) | attribute,
    )

    assert (assess_tree(tree).state is State.INVALID) is refused


def test_a_refused_map_has_no_image_and_names_its_findings(tree: Path) -> None:
    set_region(tree, 1, num_pages=0)
    set_region(tree, 2, num_pages=0)
    write(tree, f"{EFI}/config_table", "0x0\n")

    assessment = assess_tree(tree)

    assert assessment.state is State.INVALID
    assert (assessment.image, assessment.sha256) == (None, "")
    assert "region-empty (2), table-missing" in assessment.reason
    assert assessment.count(Severity.ERROR) == 3


def test_a_warning_degrades_and_still_hands_over(tmp_path: Path) -> None:
    root = materialise(KEXEC_SYSCALL, tmp_path)
    write(root, f"{EFI}/runtime", "0xffffffff00001000\n")

    assessment = assess_tree(root)

    assert assessment.state is State.DEGRADED
    assert assessment.image is not None
    assert "6 runtime regions" in assessment.reason
    assert "runtime-table-lost" in assessment.reason


def test_a_reading_that_failed_is_invalid_and_names_the_file(tree: Path) -> None:
    write(tree, f"{EFI}/systab", "?\n")
    with pytest.raises(ReadError) as raised:
        read_snapshot(tree)

    assessment = assess(raised.value)

    assert assessment.state is State.INVALID
    assert str(tree / EFI / "systab") in assessment.reason
    (finding,) = assessment.findings
    assert (finding.code, finding.severity) == ("sysfs-malformed", Severity.ERROR)
    assert finding.details["path"] == str(tree / EFI / "systab")
