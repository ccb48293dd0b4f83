# SPDX-License-Identifier: LGPL-2.1-or-later
"""kexec_load(2) as the kernel would be asked: each call is caught before it gets there."""

import errno
import struct
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from kexecprepd.loader import kexec
from kexecprepd.loader.errors import LoadError
from kexecprepd.loader.memory import Usable
from kexecprepd.loader.plan import Plan, Segment
from tests.support.system_calls import Answer, Number, SystemCall, run

PLAN = Plan(
    entry=0x1_2345_6000,
    segments=(
        Segment("kernel", 0x1_0000_0000, 0x3000, b"the kernel's bytes"),
        Segment("entry stub", 0x1_2345_6000, 0x1000, b"\xfa\xfc"),
    ),
    usable=Usable((), ()),
    efi=True,
    notes=(),
)


@dataclass(frozen=True)
class Asked:
    """The arguments of one call: `segments` are (bytes, address, size)."""

    entry: int
    segments: tuple[tuple[bytes, int, int], ...]
    flags: int


def segments_of(call: SystemCall) -> tuple[tuple[bytes, int, int], ...]:
    _, count, at, *_ = call.arguments
    rows = struct.iter_unpack("<4Q", call.memory(at, 32 * count) if count else b"")
    return tuple((call.memory(buffer, size), to, room) for buffer, size, to, room in rows)


def caught(work: Callable[[], None], answer: int = 0) -> tuple[str, list[Asked]]:
    """What is said where the kernel answers so, nothing if it succeeds; and what it was asked."""
    asked: list[Asked] = []

    def at(call: SystemCall) -> Answer:
        if call.number != Number.KEXEC_LOAD:
            return None
        asked.append(Asked(call.arguments[0], segments_of(call), call.arguments[3]))
        return answer

    def told() -> str:
        try:
            work()
        except LoadError as error:
            return f"{error.sentence}|{error.hint}"
        return ""

    outcome = run(told, at)
    assert outcome.status == 0
    return outcome.said, asked


def test_the_kernel_is_asked_once_for_all_of_a_plan() -> None:
    said, asked = caught(lambda: kexec.load(PLAN))

    assert said == ""
    (call,) = asked
    assert call.entry == PLAN.entry
    assert call.segments == tuple((s.data, s.address, s.size) for s in PLAN.segments)


def test_the_kernel_is_told_the_architecture_and_no_other_flag() -> None:
    for work in (lambda: kexec.load(PLAN), kexec.unload):
        _, (call,) = caught(work)
        assert call.flags == 0x3E_0000  # KEXEC_ARCH_X86_64


def test_to_unload_is_to_load_nothing() -> None:
    said, asked = caught(kexec.unload)

    assert (said, asked) == ("", [Asked(0, (), 0x3E_0000)])


@pytest.mark.parametrize(
    ("number", "words", "hint"),
    [
        (errno.EPERM, "this process may not load kernels (EPERM)", "kexecprepctl check"),
        (errno.EACCES, "takes signed kernels only (EACCES)", "--syscall=file"),
        (errno.EBUSY, "another kernel is being loaded at this moment (EBUSY)", "Try again"),
        (errno.EINVAL, "too large, too many or overlapping (EINVAL)", "a smaller initrd"),
        (errno.ENOMEM, "not enough free memory", "Stop what uses memory"),
        (errno.EADDRNOTAVAIL, "an address that no segment may have", "Report this"),
        (errno.EOPNOTSUPP, "TDX", "firmware's setup"),
        (errno.ENOSYS, "built without kexec_load(2) (ENOSYS)", "--syscall=file"),
        (errno.EFAULT, "refused it: bad address.", "Report this"),
    ],
    ids=lambda value: errno.errorcode[value] if isinstance(value, int) else "",
)
def test_each_refusal_has_its_words_and_what_to_do(number: int, words: str, hint: str) -> None:
    for work in (lambda: kexec.load(PLAN), kexec.unload):
        said, _ = caught(work, number)
        sentence, _, advice = said.partition("|")
        assert sentence.startswith("The kernel refused it: ")
        assert words in sentence
        assert hint in advice
