# SPDX-License-Identifier: LGPL-2.1-or-later
"""NAME=value lines, as a shell and as GRUB read them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kexecprepd.loader import assignments
from tests.support.made_up import EXAMPLES


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("ID=debian", {"ID": "debian"}),
        ('  NAME="Debian GNU/Linux"  ', {"NAME": "Debian GNU/Linux"}),
        ("NAME='a b' # c", {"NAME": "a b # c"}),
        ('NAME="never closed', {}),
        ("# NAME=x", {}),
        ("1=x", {}),
        ("NAME=", {"NAME": ""}),
    ],
)
def test_a_line_is_read_as_a_shell_reads_it(line: str, expected: dict[str, str]) -> None:
    assert assignments.shell(line) == expected


def test_grub_knows_no_quotes_but_a_backslash() -> None:
    text = '# GRUB Environment Block\nsaved_entry=a\\\\b "c"\n####'

    assert assignments.grub(text) == {"saved_entry": 'a\\b "c"'}


def test_a_line_of_blanks_takes_no_longer_than_any_other() -> None:
    # A pattern that tries each of them anew would be at it for hours.
    blanks = " " * (1 << 20)

    assert assignments.shell(f"NAME=a{blanks}b{blanks}") == {"NAME": "a b"}


@EXAMPLES
@given(st.text())
def test_whatever_a_file_says_it_is_read(text: str) -> None:
    assignments.shell(text)
    assignments.grub(text)
