# SPDX-License-Identifier: LGPL-2.1-or-later
"""Rules for what a kernel that was started by kexec was handed."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.damages.handed import handed
from tests.support.findings import codes_of, findings_of
from tests.support.receipts import NODE, add_receipt
from tests.support.recordings import KEXEC_SYSCALL, add_setup_data, materialise
from tests.support.snapshots import read_snapshot


@pytest.mark.parametrize("smbios", [0, (1 << 64) - 1])
@pytest.mark.parametrize("runtime", [0, 0x7F5E_BB98, 0xFFFF_FFFE_FF1E_BB98])
def test_loaders_differ_rightly_in_runtime_and_smbios(
    smbios: int, runtime: int, tmp_path: Path
) -> None:
    root = materialise(KEXEC_SYSCALL, tmp_path)
    handed(root, smbios=smbios, runtime=runtime)

    assert not findings_of(root)


def test_what_is_not_shown_is_compared_with_nothing(tmp_path: Path) -> None:
    root = materialise(KEXEC_SYSCALL, tmp_path)
    handed(root)
    add_receipt(root)

    codes = codes_of(replace(read_snapshot(root), efi=None))

    assert [each for each in codes if each.startswith(("handed-", "receipt-"))] == []


def test_what_was_handed_over_is_told_with_what_is_shown(tmp_path: Path) -> None:
    root = materialise(KEXEC_SYSCALL, tmp_path)
    handed(root, tables=0x1234)

    (finding,) = findings_of(root)

    assert finding.details == {"table": "config_table", "handed": 0x1234, "shown": 0x7F5E_BC98}


def test_a_receipt_that_fits_is_no_finding(tmp_path: Path) -> None:
    root = materialise(KEXEC_SYSCALL, tmp_path)
    add_receipt(root)

    assert not findings_of(root)


def test_a_load_without_efi_that_arrived_so_is_no_finding(tree: Path) -> None:
    add_receipt(tree, sha256="", region_count=0)

    assert not findings_of(tree)


def test_efi_that_no_receipt_tells_of_is_told_once(tmp_path: Path) -> None:
    root = materialise(KEXEC_SYSCALL, tmp_path)
    add_receipt(root, sha256="", region_count=0)

    (finding,) = findings_of(root)

    assert finding.message == "The receipt tells of no EFI, and this kernel was handed some."


def test_the_numbers_that_differ_are_told(tmp_path: Path) -> None:
    root = materialise(KEXEC_SYSCALL, tmp_path)
    add_receipt(root, region_count=9)

    shown, handed_over = findings_of(root)

    assert shown.details == {"receipt-count": 9, "count": 6}
    assert handed_over.details == {"receipt-count": 9, "count": 6}


def test_the_receipt_that_was_added_last_counts(tmp_path: Path) -> None:
    root = materialise(KEXEC_SYSCALL, tmp_path)
    add_receipt(root)
    add_setup_data(root, NODE, b"old")

    assert not findings_of(root)
