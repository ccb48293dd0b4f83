# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a command line says of EFI and of memory, where one option follows on another."""

import pytest

from kexecprepd.core.cmdline import runtime_off_option
from kexecprepd.core.cut import cut_by

END = (1 << 64) - 1


@pytest.mark.parametrize(
    ("cmdline", "option"),
    [
        ("noefi efi=noruntime", "noefi"),
        ("efi=noruntime noefi", "noefi"),
        ("efi=noruntime", "efi=noruntime"),
        ("noefi efi=runtime", None),
        ("efi=runtime noefi", "noefi"),
        ("efi=noruntime,runtime", None),
        ("efi=runtime,noruntime", None),
        ("noefi efi=runtime efi=noruntime", "efi=noruntime"),
        ("noefix efi=", None),
        (None, None),
    ],
)
def test_the_option_that_switches_the_runtime_services_off_is_named(
    cmdline: str | None, option: str | None
) -> None:
    assert runtime_off_option(cmdline) == option


@pytest.mark.parametrize(
    ("given", "cut"),
    [
        pytest.param("1M@1M", [(0, 0xF_FFFF), (0x20_0000, END)], id="whole pages"),
        pytest.param("1M@0x100800", [(0, 0x10_0FFF), (0x20_0000, END)], id="from within a page"),
        pytest.param("0x100800@1M", [(0, 0xF_FFFF), (0x20_0000, END)], id="to within a page"),
        pytest.param("0x800@1M", [(0, END)], id="no whole page"),
        pytest.param("0x800@0x100400", [(0, END)], id="a part of one page"),
        pytest.param("0x1000@0x100800", [(0, END)], id="parts of two pages"),
    ],
)
def test_memory_is_given_back_by_whole_pages(given: str, cut: list[tuple[int, int]]) -> None:
    assert list(cut_by(f"memmap=exactmap memmap={given}")) == cut
