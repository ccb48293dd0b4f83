# SPDX-License-Identifier: LGPL-2.1-or-later
"""The log's level and target, as `systemctl service-log-level` and -target set them."""

import logging
from collections.abc import Iterator

import pytest

from kexecprepd.daemon.journal import LogControl
from kexecprepd.wire.errors import InvalidArgs

LEVELS = {
    "emerg": logging.CRITICAL,
    "alert": logging.CRITICAL,
    "crit": logging.CRITICAL,
    "err": logging.ERROR,
    "warning": logging.WARNING,
    "notice": logging.INFO,  # Python has none in between, and nothing is to be missed
    "info": logging.INFO,
    "debug": logging.DEBUG,
}


@pytest.fixture
def control() -> Iterator[LogControl]:
    """Of a log on a screen, whose level is as it was after the test."""
    root = logging.getLogger()
    level = root.level
    yield LogControl("console")
    root.setLevel(level)


@pytest.mark.parametrize("level", LEVELS)
def test_each_level_of_syslog_can_be_set_and_is_told_again(control: LogControl, level: str) -> None:
    control.LogLevel = level

    assert control.LogLevel == level
    assert logging.getLogger().level == LEVELS[level]


def test_another_level_changes_nothing(control: LogControl) -> None:
    control.LogLevel = "err"

    with pytest.raises(InvalidArgs, match="use one of emerg, alert, crit, err"):
        control.LogLevel = "loud"

    assert control.LogLevel == "err"
    assert logging.getLogger().level == logging.ERROR


@pytest.mark.parametrize("target", ["console", "auto"])
def test_the_target_that_it_has_can_be_asked_for(control: LogControl, target: str) -> None:
    control.LogTarget = target

    assert control.LogTarget == "console"


def test_the_log_cannot_go_elsewhere(control: LogControl) -> None:
    with pytest.raises(InvalidArgs, match="goes to the console, and cannot go elsewhere"):
        control.LogTarget = "syslog"
