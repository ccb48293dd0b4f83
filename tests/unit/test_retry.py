# SPDX-License-Identifier: LGPL-2.1-or-later
"""A reading that failed for the moment is followed by others, later each time."""

import pytest

from kexecprepd.daemon.retry import FIRST_MSEC, LONGEST_MSEC, Retry
from tests.support.clock import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_each_try_is_twice_as_late_up_to_a_bound(clock: Clock) -> None:
    retry = Retry(lambda: retry.heard(failed=True), clock)

    retry.heard(failed=True)
    for _ in range(10):
        clock.go_off()

    assert clock.waits[:3] == [FIRST_MSEC, 2 * FIRST_MSEC, 4 * FIRST_MSEC]
    assert clock.waits[-2:] == [LONGEST_MSEC, LONGEST_MSEC]


def test_it_ends_with_a_reading_that_says_something_and_begins_anew(clock: Clock) -> None:
    outcomes = [True, False]
    retry = Retry(lambda: retry.heard(failed=outcomes.pop(0)), clock)

    retry.heard(failed=True)
    clock.go_off()
    clock.go_off()

    assert not clock.running
    retry.heard(failed=True)
    assert clock.waits == [FIRST_MSEC, 2 * FIRST_MSEC, FIRST_MSEC]


def test_failures_in_between_do_not_put_the_next_try_off(clock: Clock) -> None:
    retry = Retry(lambda: None, clock)

    for _ in range(3):
        retry.heard(failed=True)

    assert clock.waits == [FIRST_MSEC]


def test_a_reading_that_succeeds_meanwhile_calls_it_off(clock: Clock) -> None:
    retry = Retry(lambda: None, clock)
    retry.heard(failed=True)

    retry.heard(failed=False)

    assert not clock.running
