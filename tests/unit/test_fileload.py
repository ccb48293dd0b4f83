# SPDX-License-Identifier: LGPL-2.1-or-later
"""Which system call loads a kernel, and what is said where kexec_file_load(2) refuses it."""

import errno
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import pytest

from kexecprepd.core.presence import absent_at_boot
from kexecprepd.ctl.exits import CtlError, Exit
from kexecprepd.ctl.ways import prepare
from kexecprepd.loader import fileload, kexec
from kexecprepd.loader.errors import LoadError
from kexecprepd.loader.preflight import obstacle
from kexecprepd.loader.syscall import Call, in_turn, may_be_other
from kexecprepd.reading.kernel import System, read_system
from tests.support.kernels import bzimage
from tests.support.recordings import set_memory_blocks, set_region, write
from tests.support.snapshots import read_snapshot
from tests.support.wanted import wanted

OPEN, LOCKED = "[none] integrity\n", "none [integrity]\n"


def system(root: Path, lockdown: str) -> System:
    write(root, "sys/kernel/kexec_loaded", "0\n")
    write(root, "sys/kernel/security/lockdown", lockdown)
    return read_system(root)


@pytest.mark.parametrize(
    ("asked", "lockdown", "handover", "efi", "expected"),
    [
        (Call.AUTO, OPEN, False, True, (Call.LOAD, Call.FILE)),
        (Call.AUTO, LOCKED, False, True, (Call.FILE,)),
        (Call.AUTO, OPEN, True, True, (Call.FILE,)),
        (Call.AUTO, OPEN, True, False, (Call.LOAD,)),
        (Call.LOAD, LOCKED, True, True, (Call.LOAD,)),
        (Call.FILE, OPEN, False, True, (Call.FILE,)),
    ],
)
def test_the_kernel_is_asked_by_the_call_that_loses_nothing_and_is_allowed(
    tree: Path, asked: Call, lockdown: str, handover: bool, efi: bool, expected: tuple[Call, ...]
) -> None:
    found = in_turn(asked, system(tree, lockdown), handover=handover, efi=efi)

    assert found == expected


def test_lockdown_is_no_obstacle_for_the_kernel_s_own_loader(tree: Path) -> None:
    locked = system(tree, LOCKED)

    assert obstacle(locked, "x86_64", None, Call.FILE) is None
    refused = obstacle(replace(locked, load_disabled=True), "x86_64", None, Call.FILE)
    assert str(refused).startswith("kexec_file_load(2) would be refused")


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOKEY, "signed with a key that it does not trust (ENOKEY of kexec_file_load)"),
        (errno.EKEYREJECTED, "is not that of its content"),
        (errno.ENODATA, "is not signed"),
        (errno.EPERM, "may not load kernels"),
        (errno.EIO, "input/output error (kexec_file_load)"),
    ],
)
def test_a_refusal_is_said_in_words(number: int, words: str) -> None:
    error = fileload.refusal(number)

    assert words in str(error)
    assert error.number == number
    assert error.hint.endswith(".")


def test_a_signature_that_is_missing_says_which_file_needs_one() -> None:
    assert ".linux has to be signed itself" in fileload.refusal(errno.ENOKEY).hint


@pytest.mark.parametrize(
    ("number", "expected"), [(errno.EACCES, True), (errno.ENOSYS, True), (errno.EPERM, False)]
)
def test_the_other_call_is_tried_where_policy_or_the_build_is_against_one(
    number: int, expected: bool
) -> None:
    assert may_be_other(kexec.refusal(number)) is expected


def test_memory_of_the_boot_s_map_that_has_gone_is_seen_though_sysfs_forgets_it(tree: Path) -> None:
    whole = read_snapshot(tree)
    above = [r for r in whole.memory_map or () if r.is_ram and r.start >= 1 << 32]
    assert above
    assert absent_at_boot(whole) == ()

    # The kernel takes the range out of sysfs; what it was booted with stays as it was.
    set_memory_blocks(tree, 128 << 20, range(32))
    gone = read_snapshot(tree)
    forgotten = replace(gone, memory_map=tuple(r for r in gone.memory_map or () if r not in above))

    assert absent_at_boot(forgotten)
    with pytest.raises(LoadError, match="has been unplugged"):
        prepare(Call.FILE, wanted(tree, bzimage()), Namespace(root=tree))


def test_a_map_that_could_crash_the_next_kernel_is_not_left_to_the_kernel_to_hand_over(
    tree: Path,
) -> None:
    set_region(tree, 0, num_pages=0)
    options = Namespace(root=tree)

    with pytest.raises(CtlError, match="hand EFI over as it is") as raised:
        prepare(Call.FILE, wanted(tree, bzimage(), append="quiet"), options)
    assert raised.value.code is Exit.INVALID
    # With that the next kernel makes no use of it.
    assert "noefi" in raised.value.hint
    prepare(Call.FILE, wanted(tree, bzimage(), append="quiet noefi"), options)


def test_what_concerns_the_other_call_alone_is_not_noted(tree: Path) -> None:
    write(tree, "proc/cmdline", "kho=on\n")
    write(tree, "dev/tdx_guest", "")

    notes = prepare(Call.FILE, wanted(tree, bzimage()), Namespace(root=tree)).notes

    assert ["TDX" in note for note in notes] == [True]
