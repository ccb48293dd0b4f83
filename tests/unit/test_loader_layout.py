# SPDX-License-Identifier: LGPL-2.1-or-later
"""Where each thing goes in memory."""

import pytest

from kexecprepd.core.intervals import Interval
from kexecprepd.loader.errors import LoadError
from kexecprepd.loader.layout import Placement, Request, lay_out
from kexecprepd.loader.memory import Avoided, Usable
from tests.support.kernels import MIB, free

PREF = 16 * MIB
GIB = 1 << 30


def kernel(size: int = 64 * MIB, fixed: int | None = None) -> Request:
    return Request("kernel", size, 2 * MIB, minimum=PREF, fixed=fixed)


def refusal(requests: list[Request], usable: Usable) -> str:
    with pytest.raises(LoadError) as raised:
        lay_out(requests, usable)
    assert raised.value.hint.endswith(".")
    return str(raised.value)


def test_a_kernel_goes_where_it_prefers() -> None:
    placed = lay_out([kernel()], free((MIB, GIB - 1)))

    assert placed == (Placement("kernel", PREF, 64 * MIB),)


@pytest.mark.parametrize(
    ("parts", "address"),
    [
        pytest.param([(MIB, PREF - 1), (PREF + 0x1000, GIB - 1)], PREF + 2 * MIB, id="taken"),
        pytest.param([(MIB, PREF + 64 * MIB - 2), (GIB, 2 * GIB - 1)], GIB, id="a byte too little"),
        pytest.param([(MIB, PREF + 64 * MIB - 1), (GIB, 2 * GIB - 1)], PREF, id="just enough"),
        pytest.param([(GIB + 0x1000, GIB + 66 * MIB - 1)], GIB + 2 * MIB, id="aligned to the end"),
        pytest.param([(MIB, 10 * MIB), (4 * GIB, 8 * GIB - 1)], 4 * GIB, id="above 4 GiB"),
    ],
)
def test_a_kernel_goes_to_the_lowest_place_above(
    parts: list[tuple[int, int]], address: int
) -> None:
    assert lay_out([kernel()], free(*parts))[0].address == address


def test_a_kernel_never_goes_below() -> None:
    sentence = refusal([kernel()], free((MIB, PREF + 32 * MIB - 1)))

    assert "kernel" in sentence
    assert f"{64 * MIB} bytes" in sentence
    assert f"has {32 * MIB} bytes" in sentence


def test_what_has_no_choice_does_not_draw_the_rest_down() -> None:
    requests = [
        Request("fixed", MIB, MIB, fixed=64 * MIB),
        Request("large", 4 * MIB, MIB, minimum=MIB),
        Request("rest", MIB, MIB),
    ]

    placed = lay_out(requests, free((16 * MIB, 32 * MIB - 1), (64 * MIB, 66 * MIB - 1)))

    assert [each.address // MIB for each in placed] == [64, 16, 65]


def test_what_is_empty_has_a_page_to_itself() -> None:
    assert lay_out([Request("empty", 0, 4096)], free((MIB, GIB - 1)))[0].size == 4096


def test_a_kernel_that_cannot_be_moved_goes_to_its_one_address() -> None:
    assert lay_out([kernel(fixed=PREF)], free((MIB, GIB - 1)))[0].address == PREF


def test_a_kernel_that_cannot_be_moved_is_told_what_is_in_its_way() -> None:
    crash = Avoided(PREF + 4 * MIB, PREF + 5 * MIB - 1, "Crash kernel in /proc/iomem")
    usable = Usable((Interval(PREF + 5 * MIB, GIB - 1),), (crash,))

    assert "Crash kernel" in refusal([kernel(fixed=PREF)], usable)


def test_a_kernel_that_cannot_be_moved_where_there_is_no_ram() -> None:
    assert "not all of it is System RAM" in refusal([kernel(fixed=PREF)], free((GIB, 2 * GIB - 1)))


def test_the_rest_goes_right_above_the_kernel() -> None:
    requests = [Request("initrd", 30 * MIB + 1, 4096), kernel(), Request("stub", 128, 4096)]

    placed = lay_out(requests, free((MIB, 2 * GIB - 1), (4 * GIB, 8 * GIB - 1)))

    assert placed == (
        Placement("initrd", PREF + 64 * MIB, 30 * MIB + 4096),
        Placement("kernel", PREF, 64 * MIB),
        Placement("stub", PREF + 94 * MIB + 4096, 4096),
    )


def test_the_rest_goes_right_above_a_kernel_that_cannot_be_moved() -> None:
    requests = [Request("stub", 128, 4096), kernel(fixed=2 * PREF)]

    placed = lay_out(requests, free((MIB, 2 * GIB - 1)))

    assert placed[0].address == 2 * PREF + 64 * MIB


def test_a_gap_above_the_kernel_is_used_where_it_is_large_enough() -> None:
    parts = [(MIB, PREF + 64 * MIB + 4095), (GIB, 2 * GIB - 1)]
    requests = [kernel(), Request("initrd", 8192, 4096), Request("stub", 128, 4096)]

    placed = lay_out(requests, free(*parts))

    assert [each.address for each in placed] == [PREF, GIB, PREF + 64 * MIB]


def test_what_does_not_fit_above_the_kernel_goes_below() -> None:
    requests = [kernel(), Request("initrd", 8 * MIB, 4096)]

    placed = lay_out(requests, free((MIB, PREF + 64 * MIB - 1)))

    assert placed[1].address == MIB


def test_without_a_kernel_it_is_the_lowest_place() -> None:
    assert lay_out([Request("stub", 1, 4096)], free((MIB, 8 * GIB - 1)))[0].address == MIB


def test_things_stand_in_the_order_of_the_requests() -> None:
    requests = [Request("a", 1, 4096), kernel(), Request("b", 9000, 4096)]

    placed = lay_out(requests, free((MIB, GIB - 1)))

    assert [each.name for each in placed] == ["a", "kernel", "b"]


def test_the_kernel_has_its_place_though_it_is_asked_for_last() -> None:
    requests = [Request("initrd", 10 * MIB, 4096), kernel()]

    placed = lay_out(requests, free((PREF, PREF + 74 * MIB - 1)))

    assert [each.address for each in placed] == [PREF + 64 * MIB, PREF]


def test_small_things_leave_room_for_large_ones() -> None:
    requests = [Request("stub", 128, 4096), Request("initrd", 10 * MIB, 4096)]

    placed = lay_out(requests, free((MIB, MIB + 4095), (2 * MIB, 12 * MIB - 1)))

    assert [each.address for each in placed] == [MIB, 2 * MIB]


def test_what_does_not_fit_is_told_with_the_largest_free_range() -> None:
    requests = [kernel(), Request("initrd", 100 * MIB, 4096)]

    sentence = refusal(requests, free((PREF, PREF + 100 * MIB - 1), (GIB, GIB + 8 * MIB - 1)))

    assert sentence.startswith("The initrd does not fit")
    assert f"{100 * MIB} bytes" in sentence
    assert f"has {36 * MIB} bytes" in sentence


def test_nothing_fits_nothing() -> None:
    assert "nothing is free" in refusal([kernel()], free())
