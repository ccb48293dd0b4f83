# SPDX-License-Identifier: LGPL-2.1-or-later
"""A container that may not read the kernel's files has nothing to hand over; it is not damaged."""

from pathlib import Path

import pytest

from kexecprepd.core.finding import Severity, State
from kexecprepd.core.snapshot import Snapshot
from kexecprepd.core.unreadable import Unreadable
from kexecprepd.core.verdict import assess
from kexecprepd.ctl.exits import CtlError, Exit
from kexecprepd.ctl.offline import Offline
from kexecprepd.reading.sysfs import read_snapshot
from kexecprepd.reading.tree import Tree
from tests.support.recordings import EFI, remove, write

MARKS = {
    "systemd": ("run/systemd/container", "lxc\n"),
    "Podman": ("run/.containerenv", ""),
    "Docker": (".dockerenv", ""),
    "a user namespace": ("proc/self/uid_map", "         0     100000      65536\n"),
}


@pytest.fixture
def denied(tree: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tree whose files of mode 0400 are another user's; tests may run as root."""
    text = Tree.text

    def refused(self: Tree, path: str) -> str:
        if (tree / "sys" / path).stat().st_mode & 0o777 == 0o400:
            raise self._unreadable(path, PermissionError(13, "Permission denied"))
        return text(self, path)

    monkeypatch.setattr(Tree, "text", refused)
    return tree


@pytest.mark.parametrize("mark", MARKS)
def test_a_container_that_is_denied_has_nothing_to_hand_over(mark: str, denied: Path) -> None:
    write(denied, *MARKS[mark])

    assessment = assess(read_snapshot(denied))

    assert (assessment.state, assessment.image) == (State.UNSUPPORTED, None)
    (finding,) = assessment.findings
    assert (finding.code, finding.severity) == ("container", Severity.INFO)
    assert "host" in finding.hint


def test_outside_a_container_what_is_denied_is_refused(denied: Path) -> None:
    write(denied, "proc/self/uid_map", "         0          0 4294967295\n")

    reading = read_snapshot(denied)

    assert isinstance(reading, Unreadable)
    assert reading.denied
    assert assess(reading).state is State.INVALID


def test_a_container_that_may_read_is_judged_as_any_machine(tree: Path) -> None:
    write(tree, "run/systemd/container", "lxc\n")

    assert assess(read_snapshot(tree)).state is State.READY


def test_damage_in_a_container_is_damage(tree: Path) -> None:
    write(tree, "run/systemd/container", "lxc\n")
    remove(tree, f"{EFI}/systab")

    assert not isinstance(read_snapshot(tree), Snapshot)
    assert assess(read_snapshot(tree)).state is State.INVALID


def test_the_program_ends_as_for_any_system_without_a_map(denied: Path) -> None:
    write(denied, "run/systemd/container", "lxc\n")

    with pytest.raises(CtlError) as raised:
        Offline(denied)

    assert raised.value.code is Exit.UNSUPPORTED
    assert "container" in raised.value.sentence
