# SPDX-License-Identifier: LGPL-2.1-or-later
"""The cache's writer is killed, or fails, at every system call that changes something.

A reader finds what was there before, what was to come, or nothing, and never some of each.
"""

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from kexecprepd.core.finding import State
from kexecprepd.core.generation import Handover, first, numbered
from kexecprepd.core.image import Image, sha256, unpack
from kexecprepd.core.timestamp import Timestamp
from kexecprepd.core.view import view
from kexecprepd.daemon import cache
from kexecprepd.daemon.cache import CacheError
from tests.support.changes import Changes, failing_at, failing_from, killed_at, watched
from tests.support.descriptors import left_with
from tests.support.recordings import BOOT_ID, FIRST_KERNEL
from tests.support.snapshots import recorded
from tests.support.system_calls import Number

NOTHING = "nothing"
LINKS = ("current", "setup_data", "snapshot.json", "view")


def handover_of(generation: int, *, image: bool = True) -> Handover:
    """One with a view of a few files, so that there are not hundreds of calls that do the same."""
    whole = first(recorded(FIRST_KERNEL), BOOT_ID, Timestamp(generation, generation))
    assert whole.snapshot is not None
    assert whole.assessment.image is not None
    memory = (whole.snapshot.memory_map or ())[generation : generation + 1]
    regions = unpack(whole.assessment.image)
    data = Image(regions.tables, regions.regions[generation : generation + 1]).pack()
    assessment = (
        replace(whole.assessment, image=data, sha256=sha256(data))
        if image
        else replace(whole.assessment, state=State.INVALID, image=None, sha256="")
    )
    small = replace(
        whole,
        snapshot=replace(whole.snapshot, memory_map=memory, runtime_map=()),
        assessment=assessment,
    )
    return numbered(small, generation, whole.taken)


OLD, NEW, LATER = handover_of(1), handover_of(2), handover_of(3)
REFUSED = handover_of(2, image=False)


def directory(root: Path) -> Path:
    return root / "run/kexecprepd"


def in_place(root: Path, handover: Handover) -> bool:
    """Whether all of a handover is there, through each of the names."""
    top = directory(root)
    image = handover.assessment.image
    cached = cache.read(root)
    if cached is None or cached.mismatch or cached.sha256 != handover.assessment.sha256:
        return False
    if image is None:
        if (top / "setup_data").exists():
            return False
    elif (top / "setup_data").read_bytes() != image:
        return False
    return all(
        {
            str(each.relative_to(top / "view" / folder.name)): each.read_bytes()
            for each in (top / "view" / folder.name).glob("*/*")
        }
        == {file.path: file.content for file in files}
        for folder, files in view(handover).items()
    )


def found(root: Path, *handovers: Handover) -> str:
    """What a reader finds: the generation that is there in all its parts, or nothing."""
    for handover in handovers:
        try:
            if in_place(root, handover):
                return str(handover.generation)
        except (CacheError, OSError):
            break
    readable = [name for name in ("snapshot.json", "view") if (directory(root) / name).exists()]
    assert readable == [], "a part is there without the others"
    return NOTHING


def begin(root: Path, before: Handover | None) -> None:
    """The cache with a handover in it, or without a cache."""
    shutil.rmtree(root / "run", ignore_errors=True)
    if before is not None:
        cache.write(root, before)


def writing(root: Path, handover: Handover) -> Callable[[], str]:
    """Writes it; what is said then is nothing, or how it failed."""

    def work() -> str:
        try:
            cache.write(root, handover)
        except CacheError as error:
            return "stale" if error.stale else "failed"
        return ""

    return work


RENAMES = (Number.RENAME, Number.RENAMEAT, Number.RENAMEAT2)

CASES = [
    pytest.param(None, NEW, [NOTHING, "2"], id="the first one"),
    pytest.param(OLD, NEW, ["1", "2"], id="in the place of another"),
    pytest.param(OLD, REFUSED, ["1", "2"], id="one without an image"),
    pytest.param(REFUSED, LATER, ["2", "3"], id="with an image again"),
]


@pytest.mark.parametrize(("before", "after", "expected"), CASES)
def test_a_reader_finds_the_old_one_until_it_finds_the_new_one(
    tmp_path: Path, before: Handover | None, after: Handover, expected: list[str]
) -> None:
    begin(tmp_path, before)
    others = [each for each in (after, before) if each is not None]
    seen: list[str] = []

    changes = watched(
        writing(tmp_path, after), tmp_path, lambda: seen.append(found(tmp_path, *others))
    )

    assert len(changes.calls) > 20
    seen.append(found(tmp_path, *others))
    # Each once, and in this order: there is no way back, and nothing in between.
    assert [each for n, each in enumerate(seen) if n == 0 or each != seen[n - 1]] == expected


def each_change(root: Path, after: Handover) -> Changes:
    begin(root, OLD)
    return watched(writing(root, after), root)


@pytest.mark.parametrize("after", [NEW, REFUSED], ids=["an image", "without one"])
def test_the_next_writer_clears_up_after_one_that_was_killed(
    tmp_path: Path, after: Handover
) -> None:
    count = len(each_change(tmp_path, after).calls)

    for number in range(count):
        begin(tmp_path, OLD)
        assert killed_at(number, writing(tmp_path, after), tmp_path).status == -9
        assert found(tmp_path, after, OLD) in ("1", "2")

        cache.write(tmp_path, LATER)
        assert found(tmp_path, LATER) == "3"
        left = sorted(os.listdir(directory(tmp_path)))
        pairs = [name for name in left if name.startswith("pair.")]
        assert len(pairs) <= 2, f"killed at {number}"
        assert [name for name in left if name not in pairs] == ["changed", *LINKS], number


def test_after_a_call_that_fails_nothing_stale_is_left(tmp_path: Path) -> None:
    calls = each_change(tmp_path, NEW).calls
    in_place = max(n for n, call in enumerate(calls) if call.number in RENAMES)

    for number in range(len(calls)):
        begin(tmp_path, OLD)
        outcome = failing_at(number, writing(tmp_path, NEW), tmp_path)
        assert outcome.status == 0
        if outcome.said == "":
            assert found(tmp_path, NEW) == "2", f"failed at {number}"
        elif outcome.said == "stale":
            assert found(tmp_path, OLD) == "1", f"failed at {number}"
        else:
            assert outcome.said == "failed"
            names = os.listdir(directory(tmp_path))
            assert not {*LINKS} & {*names}, f"failed at {number}"
            # What was there before may be followed still; what was to come is gone.
            pairs = [name for name in names if name.startswith("pair.")]
            assert len(pairs) <= (1 if number <= in_place else 2), f"failed at {number}"
            assert (directory(tmp_path) / "changed").read_text() == "2\n", f"failed at {number}"


def test_what_cannot_be_taken_away_is_called_stale(tmp_path: Path) -> None:
    begin(tmp_path, OLD)

    for number in range(5):  # before anything of the new one is in the old one's place
        assert failing_from(number, writing(tmp_path, NEW), tmp_path).said == "stale"
        assert found(tmp_path, OLD) == "1"


def test_what_stays_where_nothing_can_be_opened_is_called_stale(tmp_path: Path) -> None:
    begin(tmp_path, OLD)

    with left_with(0), pytest.raises(CacheError, match="Too many open files") as raised:
        cache.write(tmp_path, NEW)

    assert raised.value.stale
    assert found(tmp_path, OLD) == "1"


def test_nothing_is_stale_where_nothing_was(tmp_path: Path) -> None:
    with left_with(0), pytest.raises(CacheError, match="Too many open files") as raised:
        cache.write(tmp_path, NEW)

    assert not raised.value.stale
