# SPDX-License-Identifier: LGPL-2.1-or-later
"""Files that change while they are read: the reader is stopped there, and the file is changed."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from kexecprepd.core.errors import KexecprepdError
from kexecprepd.loader import files
from kexecprepd.reading import iomem
from tests.support.recordings import write
from tests.support.system_calls import Number, SystemCall, run

WHOLE = "00001000-0009ffff : System RAM\n00100000-1fffffff : System RAM\n"
TORN = "00001000-0009ffff : System RAM\n"


def changed_once(path: Path, change: Callable[[Path], object]) -> str:
    """What is said of a file that changes when the first piece of it is about to be read."""
    changes = iter([change])

    def at(call: SystemCall) -> None:
        if call.number == Number.PREADV2 and call.name_of(call.arguments[0]) == str(path):
            for each in changes:
                each(path)

    return said(lambda: f"{len(whole(path) or b'')} bytes", at)


def whole(path: Path) -> memoryview | None:
    """What a load reads of an initrd."""
    with files.opened(path, "initrd") as file:
        return files.gather([files.Part.whole(file)], 1 << 20)


def said(work: Callable[[], str], at: Callable[[SystemCall], None]) -> str:
    def told() -> str:
        try:
            return work()
        except KexecprepdError as error:
            return f"{error.sentence} {error.hint}"

    outcome = run(told, at)
    assert outcome.status == 0
    return outcome.said


def longer(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def shorter(path: Path) -> None:
    with path.open("ab") as file:
        file.truncate(10)


@pytest.mark.parametrize("change", [longer, shorter])
def test_a_file_that_is_being_written_is_not_loaded(
    tmp_path: Path, change: Callable[[Path], object]
) -> None:
    path = tmp_path / "initrd"
    path.write_bytes(b"x" * 1000)

    words = changed_once(path, change)

    assert words.startswith(f"The initrd {path} changed while it was read.")
    assert "Try again" in words


def test_a_file_that_stays_as_it_is_is_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "initrd"
    path.write_bytes(b"x" * 1000)

    assert changed_once(path, lambda _: None) == "1000 bytes"


def resources(root: Path, contents: Iterable[str]) -> tuple[str, int]:
    """What is said of iomem that is so the first time, so the second time, and so on; and how many
    times it is read.
    """
    left: Iterator[str] = iter(contents)
    path = str(root / "proc/iomem")
    opened: list[str] = []

    def at(call: SystemCall) -> None:
        if call.number == Number.OPENAT and call.text(call.arguments[1]) == path:
            opened.append(path)
            write(root, "proc/iomem", next(left))

    words = said(lambda: f"{len(iomem.read(root) or ())} ranges", at)
    return words, len(opened)


def test_iomem_counts_once_it_reads_the_same_twice(tmp_path: Path) -> None:
    assert resources(tmp_path, [WHOLE, WHOLE]) == ("2 ranges", 2)
    assert resources(tmp_path, [TORN, WHOLE, WHOLE]) == ("2 ranges", 3)
    assert resources(tmp_path, [WHOLE, TORN, WHOLE, TORN, TORN]) == ("1 ranges", 5)


def test_iomem_that_keeps_changing_is_given_up(tmp_path: Path) -> None:
    words, count = resources(tmp_path, [WHOLE, TORN] * 20)

    assert f"{tmp_path}/proc/iomem kept changing: no two of 10 readings agreed." in words
    assert count == 10
