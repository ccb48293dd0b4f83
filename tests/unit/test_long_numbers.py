# SPDX-License-Identifier: LGPL-2.1-or-later
"""Numbers of more digits than Python takes, where a file or a command line could hold them."""

from dataclasses import replace

from kexecprepd.core.cut import cut_by
from kexecprepd.core.intervals import Interval
from kexecprepd.loader.outlook import losses
from tests.support.kernels import kernel

DIGITS = "9" * 5000


def test_a_command_line_is_looked_at_as_far_as_a_kernel_does() -> None:
    assert cut_by(f"mem=4G {DIGITS}") == (Interval(4 << 30, (1 << 64) - 1),)
    assert cut_by(f"{'x' * 2041} mem=4G") == (Interval(0, (1 << 64) - 1),)  # as mem=4
    assert cut_by(f"{'x' * 2043} mem=4G") == ()


def test_a_number_that_never_ends_is_none_to_stumble_over() -> None:
    cut_by(f"mem={DIGITS} memmap={DIGITS}$1G")


def test_a_release_of_many_digits_is_an_old_one() -> None:
    odd = replace(kernel(), version_string=f"{DIGITS}.15")

    assert "efi-old-map" in [each.code for each in losses(odd, "efi=old_map", False)]
