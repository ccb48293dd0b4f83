# SPDX-License-Identifier: LGPL-2.1-or-later
"""Entries of the runtime map at the edge of what a kernel lists, and one step beyond."""

from dataclasses import replace

import pytest

from kexecprepd.core.entries import damaged, overflows
from kexecprepd.core.snapshot import RuntimeRegion

GOOD = RuntimeRegion(0, 6, 0x7F00_0000, 0xFFFF_FFFE_FF00_0000, 16, 1 << 63)
PAGES = 1 << 40
"""Pages of 4 KiB in the 52 bits of a physical address."""


@pytest.mark.parametrize(
    ("first_page", "pages", "beyond"),
    [
        pytest.param(0, (1 << 31) - 1, False, id="as many pages as an int counts"),
        pytest.param(0, 1 << 31, True, id="one more"),
        pytest.param(PAGES - 1, 1, False, id="the last page that there is"),
        pytest.param(PAGES - 1, 2, True, id="beyond the last page"),
        pytest.param(PAGES, 1, True, id="after the last page"),
    ],
)
def test_what_there_is_and_can_be_counted_does_not_overflow(
    first_page: int, pages: int, beyond: bool
) -> None:
    assert overflows(replace(GOOD, phys_addr=first_page << 12, num_pages=pages)) is beyond


@pytest.mark.parametrize(
    ("entry", "bad"),
    [
        pytest.param(GOOD, False, id="as it should be"),
        pytest.param(replace(GOOD, num_pages=0), True, id="empty"),
        pytest.param(replace(GOOD, num_pages=1 << 31), True, id="too long"),
        pytest.param(replace(GOOD, phys_addr=0x7F00_0800), True, id="across pages"),
    ],
)
def test_an_entry_that_no_kernel_lists_is_damage(entry: RuntimeRegion, bad: bool) -> None:
    assert damaged((entry,)) is bad


@pytest.mark.parametrize(("start", "bad"), [(0x7F00_F000, True), (0x7F01_0000, False)])
def test_entries_may_touch_and_not_overlap(start: int, bad: bool) -> None:
    assert damaged((GOOD, replace(GOOD, number=1, phys_addr=start))) is bad
