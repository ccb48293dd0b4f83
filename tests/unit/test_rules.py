# SPDX-License-Identifier: LGPL-2.1-or-later
"""The rules together: each has its damage, and what they make of it is a state and a reason."""

from pathlib import Path

import pytest

from kexecprepd.core.finding import Severity, State
from kexecprepd.core.image import unpack
from kexecprepd.core.rules import RULES, validate
from kexecprepd.core.rules.survey import Survey
from kexecprepd.core.verdict import assess
from kexecprepd.reading import sysfs
from tests.support.damages import CASES, DAMAGE, damaged, judged
from tests.support.findings import OF_HEALTHY
from tests.support.recordings import (
    BOOT_PARAMS,
    EFI,
    FIRST_KERNEL,
    KEXEC_SYSCALL,
    materialise,
    patch,
    set_region,
    write,
)
from tests.support.secrecy import addresses_in
from tests.support.snapshots import published, read_snapshot, recorded


def test_every_rule_has_a_damage_that_it_is_tried_on_and_no_other() -> None:
    assert sorted(DAMAGE) == sorted(rule.code for rule in RULES)
    assert all(DAMAGE.values())


def test_codes_are_told_apart_and_say_what_they_mean_and_what_to_do() -> None:
    assert len({rule.code for rule in RULES}) == len(RULES)
    assert all(rule.hint and rule.meaning for rule in RULES)


@pytest.mark.parametrize(("code", "name"), CASES, ids=str)
def test_a_damage_is_caught_by_its_rule_and_no_unrelated_one(code: str, name: str) -> None:
    findings = validate(damaged(code, name))

    found = {finding.code for finding in findings}
    expected = {code} | DAMAGE[code][name].also
    assert found | {OF_HEALTHY} == expected | {OF_HEALTHY}
    assert expected <= found
    rule = next(rule for rule in RULES if rule.code == code)
    hint = rule.hint_for(Survey(damaged(code, name)))
    mine = {(f.severity, f.hint) for f in findings if f.code == code}
    assert mine == {(rule.severity, hint)}


@pytest.mark.parametrize("code", [rule.code for rule in RULES])
def test_a_rule_is_silent_on_a_healthy_machine(code: str) -> None:
    # A machine on which the firmware left no table in the memory of boot services.
    healthy = published("lenovo-x240")

    assert code not in {finding.code for finding in validate(healthy)}


@pytest.mark.parametrize(("code", "name"), CASES, ids=str)
def test_nothing_for_everyone_holds_an_address(code: str, name: str) -> None:
    assessment = judged(code, name)

    for finding in assessment.findings:
        assert not addresses_in(finding.message + finding.hint)
    assert not addresses_in(assessment.reason)


@pytest.mark.parametrize(("code", "name"), CASES, ids=str)
def test_a_damage_puts_the_system_in_the_state_that_its_severity_says(code: str, name: str) -> None:
    severities = {rule.code: rule.severity for rule in RULES}
    worst = {severities[each] for each in {code} | DAMAGE[code][name].also}

    assessment = judged(code, name)

    if name == "descriptor version":  # a fact about the machine before it is a fault
        assert assessment.state is State.UNSUPPORTED
    elif Severity.ERROR in worst:
        assert (assessment.state, assessment.image) == (State.INVALID, None)
    else:
        warned = Severity.WARNING in worst
        assert assessment.state is (State.DEGRADED if warned else State.READY)
        assert assessment.image is not None
        assert len(unpack(assessment.image).regions) >= 3


def test_errors_come_before_warnings_and_warnings_before_notes(tree: Path) -> None:
    write(tree, f"{EFI}/runtime", "0xffffffff00001000\n")
    write(tree, f"{EFI}/config_table", "0x0\n")
    write(tree, f"{EFI}/fw_vendor", "0x0\n")
    set_region(tree, 1, num_pages=0)

    severities = [finding.severity for finding in validate(read_snapshot(tree))]

    assert severities == sorted(severities, key=list(Severity).index)
    assert set(severities) == set(Severity)


def test_findings_depend_on_the_snapshot_alone(tree: Path) -> None:
    set_region(tree, 1, num_pages=0)
    set_region(tree, 5, virt_addr=0)
    first = validate(read_snapshot(tree))
    healthy = validate(recorded(FIRST_KERNEL))

    assert first != healthy
    assert validate(read_snapshot(tree)) == first


def test_a_refused_map_has_no_image_and_says_why_in_words(tree: Path) -> None:
    set_region(tree, 1, num_pages=0)
    set_region(tree, 2, num_pages=0)
    write(tree, f"{EFI}/config_table", "0x0\n")

    assessment = assess(read_snapshot(tree))

    assert assessment.state is State.INVALID
    assert (assessment.image, assessment.sha256) == (None, "")
    assert assessment.reason == (
        "The runtime map is refused: Runtime region 1 (RuntimeServicesData) has no pages; 2 cases, "
        "in regions 1 and 2; and there is another error."
    )
    assert assessment.count(Severity.ERROR) == 3


def test_a_warning_degrades_and_still_hands_over(tmp_path: Path) -> None:
    root = materialise(KEXEC_SYSCALL, tmp_path)
    write(root, f"{EFI}/runtime", "0xffffffff00001000\n")

    assessment = assess(read_snapshot(root))

    assert assessment.state is State.DEGRADED
    assert assessment.image is not None
    assert assessment.reason == (
        "EFI can be handed over (6 runtime regions), with something to know: "
        "The runtime services table lies at no address that a runtime region maps."
    )


def test_a_note_leaves_the_system_ready(tree: Path) -> None:
    write(tree, f"{EFI}/fw_vendor", "0x0\n")

    assessment = assess(read_snapshot(tree))

    assert "vendor-missing" in {finding.code for finding in assessment.findings}
    assert assessment.state is State.READY
    assert assessment.image is not None


def test_an_efi_info_that_is_not_whole_is_never_handed_over(tree: Path) -> None:
    patch(tree, BOOT_PARAMS, 0x1C0, bytes(32))

    assert not assess(read_snapshot(tree)).state.has_image


def test_a_reading_that_failed_is_invalid_and_names_the_file(tree: Path) -> None:
    write(tree, f"{EFI}/systab", "?\n")

    assessment = assess(sysfs.read_snapshot(tree))

    assert assessment.state is State.INVALID
    assert str(tree / EFI / "systab") in assessment.reason
    (finding,) = assessment.findings
    assert (finding.code, finding.severity) == ("sysfs-malformed", Severity.ERROR)
    assert finding.details["path"] == str(tree / EFI / "systab")
