# SPDX-License-Identifier: LGPL-2.1-or-later
"""Memory that comes and goes: each settled change is read, judged, kept and told exactly once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab.guest import Guest

from . import expected
from .machines import ONCE_EACH, TESTING, on
from .service import (
    UNIT,
    Changes,
    call,
    cursor_now,
    properties,
    wait_for,
    wait_for_log,
    watching,
)

pytestmark = [pytest.mark.vm, on([*ONCE_EACH, TESTING])]

DIMM_MIB = 256


@pytest.fixture(scope="module")
def changes(guest: Guest) -> Iterator[Changes]:
    """What an unprivileged user was told since the module began."""
    with watching(guest) as told:
        yield told


def generation(guest: Guest) -> int:
    """The daemon's count of changes."""
    count: int = properties(guest)["Generation"]
    return count


def settle(guest: Guest, changes: Changes, ranges: int, since: int) -> list[int]:
    """Wait until the daemon serves a memory map of so many ranges, which is then that of sysfs.

    Returns the generations that were told since another; they must be as many as there were.
    """
    wait_for(lambda: len(call(guest, "GetMemoryMap")[0]) == ranges, f"there are {ranges} ranges")
    assert call(guest, "GetMemoryMap")[0] == expected.memory_ranges(guest)
    # There is nothing left to be found.
    (last,) = call(guest, "Refresh")
    wait_for(lambda: any(c["generation"] == last for c in changes()), "the user was told")
    told = [c["generation"] for c in changes() if c["generation"] > since]
    assert told == list(range(since + 1, last + 1))
    assert all(c["changed"] == ["memmap"] for c in changes())
    return told


def assert_ready(guest: Guest) -> None:
    """The image is as it was, and the cache that of the newest generation."""
    shown = properties(guest)
    assert (shown["State"], shown["WarningCount"], shown["ErrorCount"]) == ("ready", 0, 0)
    assert bytes(call(guest, "GetSetupData")[0]) == expected.image(guest)
    assert guest.read_file("/run/kexecprepd/setup_data") == expected.image(guest)


def test_a_dimm_brings_exactly_one_mapchanged(guest: Guest, changes: Changes) -> None:
    since, before, start = generation(guest), expected.memory_ranges(guest), cursor_now(guest)
    guest.hot_add_memory(DIMM_MIB)
    assert settle(guest, changes, len(before) + 1, since) == [since + 1]
    (new,) = (each for each in expected.memory_ranges(guest) if each not in before)
    assert int(new[1]) - int(new[0]) + 1 == DIMM_MIB << 20
    assert_ready(guest)
    log = wait_for_log(guest, f"Generation {since + 1}, ready", start)
    assert log.index("Changed: memmap") < log.index(f"Generation {since + 1}, ready")


def test_a_burst_of_dimms_is_told_once_for_each_settled_change(
    guest: Guest, changes: Changes
) -> None:
    since, before = generation(guest), len(expected.memory_ranges(guest))
    for _ in range(3):
        guest.hot_add_memory(DIMM_MIB)
    # One, where the guest finds them all within the daemon's half second.
    assert 1 <= len(settle(guest, changes, before + 3, since)) <= 3
    assert_ready(guest)


def test_an_unplugged_dimm_brings_exactly_one_mapchanged(guest: Guest, changes: Changes) -> None:
    guest.make_new_memory_removable()
    since, before, start = generation(guest), expected.memory_ranges(guest), cursor_now(guest)
    name = guest.hot_add_memory(DIMM_MIB)
    assert settle(guest, changes, len(before) + 1, since) == [since + 1]
    guest.hot_remove_memory(name)
    assert settle(guest, changes, len(before), since + 1) == [since + 2]
    assert expected.memory_ranges(guest) == before
    assert_ready(guest)
    # Judged anew, and not merely read.
    wait_for_log(guest, f"Generation {since + 2}, ready", start)


def test_a_dimm_that_came_while_it_was_down_is_told_at_the_start(
    guest: Guest, changes: Changes
) -> None:
    since, before = generation(guest), len(expected.memory_ranges(guest))
    guest.run(["systemctl", "stop", UNIT])
    guest.hot_add_memory(DIMM_MIB)
    wait_for(lambda: len(expected.memory_ranges(guest)) == before + 1, "the kernel has it")
    assert generation(guest) == since + 1  # and so starts it again
    assert settle(guest, changes, before + 1, since) == [since + 1]
    assert_ready(guest)
