# SPDX-License-Identifier: LGPL-2.1-or-later
"""The Manager object by itself: what it answers where something is short, or keeps changing."""

import os
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from kexecprepd.core.generation import Handover, first, numbered
from kexecprepd.core.origin import Origin, StartedBy
from kexecprepd.core.timestamp import Timestamp
from kexecprepd.core.unreadable import UNSTABLE, Unreadable
from kexecprepd.daemon.follower import Follower
from kexecprepd.daemon.manager import Manager
from kexecprepd.wire.errors import Failed, InvalidArgs
from tests.support.recordings import BOOT_ID, FIRST_KERNEL, set_memory_blocks
from tests.support.snapshots import recorded

BLOCK = 128 << 20
"""Bytes of a block of memory: the machine's 8 GiB of addresses are 64 of them."""


@pytest.fixture
def handover() -> Handover:
    return first(recorded(FIRST_KERNEL), BOOT_ID, Timestamp(1, 1))


def manager_of(
    handover: Handover, refresh: "Callable[[], Handover | Unreadable] | None" = None
) -> Manager:
    origin = Origin(StartedBy.BOOT_LOADER, None)
    return Manager(handover, origin, refresh or (lambda: handover))


@contextmanager
def limited(what: int, value: int) -> Iterator[None]:
    """One of this process' limits is lower within the block."""
    soft, hard = resource.getrlimit(what)
    resource.setrlimit(what, (value, hard))
    try:
        yield
    finally:
        resource.setrlimit(what, (soft, hard))


def next_descriptor() -> int:
    """The number that the next file to be opened gets."""
    number = os.dup(0)
    os.close(number)
    return number


def signals_of(manager: Manager) -> list[tuple[Any, ...]]:
    """The arguments of every MapChanged from now on."""
    told: list[tuple[Any, ...]] = []
    manager.MapChanged.connect(lambda *arguments: told.append(arguments))
    return told


def test_a_refresh_brings_the_generation_that_it_found(handover: Handover) -> None:
    assert manager_of(handover).Refresh().body.unpack() == (1,)


def test_a_refresh_while_sysfs_keeps_changing_has_failed(handover: Handover) -> None:
    changing = Unreadable(UNSTABLE, "/sys/firmware", "no two passes agreed", "Ask again.")

    with pytest.raises(Failed) as raised:
        manager_of(handover, lambda: changing).Refresh()

    assert raised.value.name == "org.kexecprepd1.Error.Failed"
    words = "Sysfs could not be read: /sys/firmware: no two passes agreed. Ask again."
    assert raised.value.sentence == words


def test_memory_that_goes_though_it_stays_listed_is_a_change_of_the_memory_map(tree: Path) -> None:
    set_memory_blocks(tree, BLOCK, range(64))
    follower = Follower(tree, BOOT_ID)
    manager = manager_of(follower.handover)
    told = signals_of(manager)
    follower.subscribe(manager.show)

    set_memory_blocks(tree, BLOCK, range(63))
    follower.look()

    assert told == [(2, follower.handover.assessment.sha256, ["memmap"])]


def test_what_was_missed_is_told_though_nothing_differs_any_more(handover: Handover) -> None:
    manager = manager_of(handover)
    told = signals_of(manager)

    manager.show(handover, ("runtime-map",))

    assert told == [(1, handover.assessment.sha256, ["runtime-map"])]


def test_only_the_properties_that_differ_are_told(handover: Handover) -> None:
    manager = manager_of(handover)
    told: list[tuple[Any, ...]] = []
    manager.PropertiesChanged.connect(lambda *arguments: told.append(arguments))

    manager.show(numbered(handover, 2, Timestamp(5, 1)), ("memmap",))

    changes = {"Generation": 2, "SnapshotTimestamp": 5}
    assert told == [("org.kexecprepd1.Manager", changes, [])]


@pytest.mark.parametrize("address", [1, 8])
def test_a_place_that_will_not_do_is_the_caller_s_mistake(handover: Handover, address: int) -> None:
    with pytest.raises(InvalidArgs, match="The image cannot be placed"):
        manager_of(handover).PlaceSetupData(address, 0)


def test_a_change_of_nothing_is_not_told(handover: Handover) -> None:
    manager = manager_of(handover)
    told = signals_of(manager)

    manager.show(handover, ())

    assert told == []


def test_without_descriptors_no_memory_file_is_made(handover: Handover) -> None:
    manager = manager_of(handover)

    with limited(resource.RLIMIT_NOFILE, next_descriptor()), pytest.raises(Failed) as raised:
        manager.OpenSetupData()

    assert raised.value.sentence == "No memory file could be made: Too many open files."


def test_a_memory_file_that_cannot_be_filled_is_closed(handover: Handover) -> None:
    manager = manager_of(handover)
    before = os.listdir("/proc/self/fd")

    with limited(resource.RLIMIT_FSIZE, 0), pytest.raises(Failed, match="File too large"):
        manager.OpenSetupData()

    assert os.listdir("/proc/self/fd") == before
