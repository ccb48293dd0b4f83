# SPDX-License-Identifier: LGPL-2.1-or-later
"""A reading that failed for the moment says nothing of the map: the last generation stays."""

from pathlib import Path

import pytest

from kexecprepd.core.finding import State
from kexecprepd.daemon import cache
from kexecprepd.daemon.follower import Follower
from tests.support.descriptors import left_with
from tests.support.recordings import BOOT_ID, add_range


@pytest.fixture(autouse=True)
def _log_everything(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")


def start(root: Path) -> Follower:
    """A follower that has begun, wired to the cache as by the daemon that owns the bus name."""
    follower = Follower(root, BOOT_ID)
    follower.subscribe(lambda handover, _: cache.keep(root, handover))
    follower.begin()
    return follower


def plug(root: Path) -> None:
    add_range(root, 0xA_0000_0000, 0xA_0FFF_FFFF, "System RAM")


@pytest.mark.parametrize("spare", [0, 1])
def test_it_changes_nothing_and_is_told_once(
    tree: Path, caplog: pytest.LogCaptureFixture, spare: int
) -> None:
    follower = start(tree)
    announced: list[tuple[str, ...]] = []
    follower.subscribe(lambda _, names: announced.append(names))
    image = tree / "run/kexecprepd/setup_data"
    before, on_disk = follower.handover, image.read_bytes()
    plug(tree)

    with left_with(spare):
        assert not follower.look()
        assert not follower.look()

    assert follower.handover is before
    assert image.read_bytes() == on_disk
    assert announced == []
    assert follower.unread is not None
    assert caplog.text.count("too many open files; what was read before stays") == 1

    assert follower.look()
    assert announced == [("memmap",)]
    assert follower.unread is None
    assert "Sysfs can be read again" in caplog.text


def test_a_start_with_one_wants_another_reading(
    tree: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with left_with(0):
        follower = start(tree)
    states = [follower.handover.assessment.state]
    assert follower.unread is not None
    assert "Sysfs is read again until that succeeds" in caplog.text

    assert follower.look()

    states.append(follower.handover.assessment.state)
    assert states == [State.INVALID, State.READY]
    assert follower.unread is None


def test_what_a_reading_came_to_is_told_after_the_subscribers(tree: Path) -> None:
    follower = start(tree)
    order: list[object] = []
    follower.after_reading(lambda: order.append(follower.unread is None))
    follower.subscribe(lambda handover, _: order.append(handover.generation))

    with left_with(0):
        follower.look()
    plug(tree)
    follower.look()

    assert order == [False, 2, True]
