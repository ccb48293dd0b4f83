# SPDX-License-Identifier: LGPL-2.1-or-later
"""What keeps EFI from a kernel that is to be started is foreseen, and nothing else is."""

from dataclasses import replace

import pytest

from kexecprepd.loader.bzimage import BzImage
from kexecprepd.loader.outlook import losses
from tests.support.kernels import kernel

RT = "6.1.0-48-rt-amd64 (nobody@example.org) #1 SMP PREEMPT_RT Debian 6.1.170-3"
OLD_RT = "4.19.0-27-rt-amd64 (nobody@example.org) #1 SMP PREEMPT RT Debian 4.19.316-1"
ORDINARY = "6.12.9 (nobody@example.org) #1 SMP PREEMPT_DYNAMIC"


def named(version: str | None) -> BzImage:
    return replace(kernel(), version_string=version)


def codes(kernel: BzImage, cmdline: str = "", five_level: bool = False) -> list[str]:
    found = losses(kernel, cmdline, five_level)
    assert all(loss.sentence.endswith(".") and loss.hint for loss in found)
    return [loss.code for loss in found]


@pytest.mark.parametrize("version", [ORDINARY, None])
@pytest.mark.parametrize("cmdline", ["", "root=/dev/sda1 quiet", "efi=debug", "xnoefi efi=runtime"])
@pytest.mark.parametrize("five_level", [False, True])
def test_an_ordinary_kernel_takes_efi_over(
    version: str | None, cmdline: str, five_level: bool
) -> None:
    assert codes(named(version), cmdline, five_level) == []


@pytest.mark.parametrize(
    ("cmdline", "option"),
    [
        ("quiet noefi", "noefi"),
        ("efi=noruntime", "efi=noruntime"),
        ("efi=debug,noruntime ro", "efi=noruntime"),
        ("efi=runtime noefi", "noefi"),
    ],
)
def test_an_option_that_switches_the_runtime_services_off_is_named(
    cmdline: str, option: str
) -> None:
    (loss,) = losses(kernel(), cmdline, False)

    assert loss.code == "runtime-services-off"
    assert f"started with {option}," in loss.sentence


def test_what_stands_behind_the_dashes_is_not_the_kernel_s() -> None:
    assert codes(kernel(), "quiet -- noefi efi=noruntime") == []


@pytest.mark.parametrize("version", [RT, OLD_RT])
def test_a_real_time_kernel_leaves_the_runtime_services_off(version: str) -> None:
    assert codes(named(version), "quiet") == ["realtime-kernel"]
    assert codes(named(version), "efi=runtime") == []
    assert codes(named(version), "efi=runtime noefi") == ["runtime-services-off"]


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("4.19.0-27-amd64 #1", ["efi-old-map"]),
        ("5.14.21 #1", ["efi-old-map"]),
        ("5.15.0 #1", []),
        ("6.12.9 #1", []),
        (None, ["efi-old-map"]),
    ],
)
def test_old_map_counts_where_kernels_still_know_it(
    version: str | None, expected: list[str]
) -> None:
    assert codes(named(version), "efi=old_map") == expected


def test_a_kernel_without_the_flag_cannot_take_it() -> None:
    assert codes(kernel(xloadflags=0x2F)) == ["no-efi-kexec"]


def test_a_kernel_that_cannot_be_entered_with_5_level_paging_is_told_where_that_is_on() -> None:
    four_level = kernel(xloadflags=0x1F)

    assert codes(four_level, five_level=True) == ["no-5-level"]
    assert codes(four_level, five_level=False) == []


def test_everything_is_told_at_once() -> None:
    flagless = replace(kernel(xloadflags=0x0F), version_string=OLD_RT)

    assert codes(flagless, "efi=old_map", five_level=True) == [
        "no-5-level",
        "no-efi-kexec",
        "realtime-kernel",
        "efi-old-map",
    ]
