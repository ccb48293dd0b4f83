# SPDX-License-Identifier: LGPL-2.1-or-later
"""What of a reading makes a generation, and what a change of it is called."""

from dataclasses import replace

from kexecprepd.core.generation import changed, parts_of
from tests.support.recordings import FIRST_KERNEL
from tests.support.snapshots import recorded


def test_boot_params_that_are_hidden_are_a_change_of_efi_info_alone() -> None:
    shown = recorded(FIRST_KERNEL)
    hidden = replace(shown, boot_params=None)

    assert changed(parts_of(shown), parts_of(hidden)) == ("efi-info",)
    assert changed(parts_of(hidden), parts_of(hidden)) == ()


def test_a_part_that_is_not_there_is_another_than_one_that_says_nothing() -> None:
    before = parts_of(recorded(FIRST_KERNEL))
    told_nothing = {**before, "efi-tables": None}
    not_there = {name: part for name, part in before.items() if name != "efi-tables"}

    assert changed(told_nothing, not_there) == ("efi-tables",)
    assert changed(not_there, told_nothing) == ("efi-tables",)
