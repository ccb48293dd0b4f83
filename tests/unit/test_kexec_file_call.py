# SPDX-License-Identifier: LGPL-2.1-or-later
"""kexec_file_load(2) as the kernel would be asked: each call is caught before it gets there."""

import errno
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from kexecprepd.loader import fileload, files, syscall
from kexecprepd.loader.files import Part
from tests.support.system_calls import Answer, Number, SystemCall, run

KERNEL, INITRD, MORE = b"the kernel's bytes", b"an initrd's", b"another's"
NO_FILE = 0xFFFF_FFFF
"""-1, of which the kernel looks at 32 bits."""


@dataclass(frozen=True)
class Handed:
    """A file that the kernel was given: what is in it, where it would be read from, its name."""

    content: bytes
    position: int
    name: str


@dataclass(frozen=True)
class Asked:
    """The arguments of one call; None stands for no file."""

    kernel: Handed | None
    initrd: Handed | None
    cmdline: bytes
    flags: int


def handed(call: SystemCall, fd: int) -> Handed | None:
    if fd & NO_FILE == NO_FILE:
        return None
    told = Path(f"/proc/{call.pid}/fdinfo/{fd}").read_text().splitlines()[0]
    content = Path(f"/proc/{call.pid}/fd/{fd}").read_bytes()
    return Handed(content, int(told.removeprefix("pos:")), call.name_of(fd))


def caught(work: Callable[[], None]) -> Asked:
    """What the kernel was asked, once."""
    asked: list[Asked] = []

    def at(call: SystemCall) -> Answer:
        if call.number != Number.KEXEC_FILE_LOAD:
            return None
        kernel, initrd, length, line, flags, _ = call.arguments
        cmdline = call.memory(line, length) if length else b""
        asked.append(Asked(handed(call, kernel), handed(call, initrd), cmdline, flags))
        return 0

    def told() -> str:
        work()
        return ""

    assert run(told, at).status == 0
    (only,) = asked
    return only


class Boot:
    """A load of some files, whole or in parts: (name, start, size)."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        for name, content in (("kernel", KERNEL), ("initrd", INITRD), ("more", MORE)):
            (folder / name).write_bytes(content)

    def load(self, kernel: tuple[str, int, int], *initrds: tuple[str, int, int]) -> None:
        with ExitStack() as stack:
            linux, *rest = (self._part(stack, *each) for each in (kernel, *initrds))
            fileload.load(linux, rest, files.gather(rest, 1 << 20), "quiet ä")

    def _part(self, stack: ExitStack, name: str, start: int, size: int) -> Part:
        file = stack.enter_context(files.opened(self._folder / name, "initrd"))
        return Part(file, start, size)


WHOLE_KERNEL, WHOLE_INITRD = ("kernel", 0, len(KERNEL)), ("initrd", 0, len(INITRD))


@pytest.fixture
def boot(tmp_path: Path) -> Boot:
    return Boot(tmp_path)


def test_whole_files_are_handed_over_themselves(boot: Boot, tmp_path: Path) -> None:
    asked = caught(lambda: boot.load(WHOLE_KERNEL, WHOLE_INITRD))

    # By their own names, so that IMA finds their signatures.
    assert asked.kernel == Handed(KERNEL, 0, str(tmp_path / "kernel"))
    assert asked.initrd == Handed(INITRD, 0, str(tmp_path / "initrd"))
    assert (asked.cmdline, asked.flags) == ("quiet ä\0".encode(), 0)


@pytest.mark.parametrize(
    ("initrds", "together"),
    [
        pytest.param([("initrd", 3, 6)], INITRD[3:9], id="a part"),
        pytest.param([("initrd", 0, 4), ("more", 0, 9)], INITRD[:4] + MORE, id="several"),
        pytest.param([], bytes.fromhex("3037303730"), id="none"),
    ],
)
def test_what_is_no_whole_file_is_handed_over_from_its_beginning(
    boot: Boot, initrds: list[tuple[str, int, int]], together: bytes
) -> None:
    asked = caught(lambda: boot.load(("kernel", 4, 6), *initrds))

    assert asked.kernel is not None
    assert (asked.kernel.content, asked.kernel.position) == (KERNEL[4:10], 0)
    assert asked.initrd is not None
    assert asked.initrd.content.startswith(together)
    assert asked.initrd.position == 0


def test_to_unload_is_to_hand_over_nothing() -> None:
    assert caught(fileload.unload) == Asked(None, None, b"", 1)


def test_where_the_kernel_lacks_the_call_the_other_one_unloads() -> None:
    asked: list[int] = []
    answers: dict[int, int] = {Number.KEXEC_FILE_LOAD: errno.ENOSYS, Number.KEXEC_LOAD: 0}

    def at(call: SystemCall) -> Answer:
        if call.number in answers:
            asked.append(call.number)
        return answers.get(call.number)

    assert run(syscall.unload_any, at).status == 0
    assert asked == [Number.KEXEC_FILE_LOAD, Number.KEXEC_LOAD]
