# SPDX-License-Identifier: LGPL-2.1-or-later
"""Logging to the journal, and org.freedesktop.LogControl1 to steer it while running.

Source: org.freedesktop.LogControl1(5), sd-daemon(3) for the <N> prefixes.
"""

import logging
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

from ..wire import journal
from ..wire.errors import InvalidArgs
from ..wire.journal import Message

_LEVELS = {
    "emerg": logging.CRITICAL,
    "alert": logging.CRITICAL,
    "crit": logging.CRITICAL,
    "err": logging.ERROR,
    "warning": logging.WARNING,
    "notice": logging.INFO,
    "info": logging.INFO,
    "debug": logging.DEBUG,
}

_PREFIXES = {
    logging.CRITICAL: "<2>",
    logging.ERROR: "<3>",
    logging.WARNING: "<4>",
    logging.INFO: "<6>",
    logging.DEBUG: "<7>",
}


_FIELDS = "journal_fields"


class _JournalFormatter(logging.Formatter):
    """Gives every line its priority: a traceback is many lines, and each is an entry."""

    def format(self, record: logging.LogRecord) -> str:
        prefix = _PREFIXES.get(record.levelno, "<5>")
        return "\n".join(prefix + line for line in super().format(record).splitlines())


class _JournalHandler(logging.StreamHandler[TextIO]):
    """Sends entries with their fields, and what the journal does not take as lines to stderr."""

    def __init__(self, root: Path) -> None:
        super().__init__(sys.stderr)
        self._root = root

    def emit(self, record: logging.LogRecord) -> None:
        fields = {
            "MESSAGE": logging.Formatter().format(record),
            "PRIORITY": _PREFIXES.get(record.levelno, "<5>")[1],
            "SYSLOG_IDENTIFIER": LogControl.SyslogIdentifier,
            **record.__dict__.get(_FIELDS, {}),
        }
        if not journal.send(self._root, fields):
            super().emit(record)


def about(message: Message, **fields: object) -> Mapping[str, Mapping[str, str]]:
    """The `extra` of a log record: which message it is, and fields that tell more than its text."""
    named = {f"KEXECPREPD_{name.upper()}": str(value) for name, value in fields.items()}
    return {_FIELDS: {"MESSAGE_ID": str(message), **named}}


def set_up(root: Path, level: int = logging.INFO) -> "LogControl":
    """Log to the journal below `root` where that reads stderr, and else there.

    Lines on stderr have priorities where systemd says that the journal is at their end.
    """
    to_journal = "JOURNAL_STREAM" in os.environ
    handler: logging.Handler = logging.StreamHandler(sys.stderr)
    if journal.is_standard_error():
        handler = _JournalHandler(root)
    handler.setFormatter(_JournalFormatter() if to_journal else logging.Formatter())
    logger = logging.getLogger()
    logger.addHandler(handler)
    logger.setLevel(level)
    return LogControl("journal" if to_journal else "console")


class LogControl:
    """The object that `systemctl service-log-level` talks to."""

    SyslogIdentifier = "kexecprepd"

    def __init__(self, target: str) -> None:
        self._target = target
        self._level = "debug" if logging.getLogger().isEnabledFor(logging.DEBUG) else "info"

    @property
    def LogLevel(self) -> str:
        """One of syslog's level names."""
        return self._level

    @LogLevel.setter
    def LogLevel(self, level: str) -> None:
        if level not in _LEVELS:
            raise InvalidArgs(
                f"There is no log level of that name; use one of {', '.join(_LEVELS)}."
            )
        self._level = level
        logging.getLogger().setLevel(_LEVELS[level])

    @property
    def LogTarget(self) -> str:
        """Where the log goes: `journal` under systemd, else `console`."""
        return self._target

    @LogTarget.setter
    def LogTarget(self, target: str) -> None:
        # Standard error is what systemd, or a shell, connected: it cannot be moved from here.
        if target not in (self._target, "auto"):
            raise InvalidArgs(f"The log goes to the {self._target}, and cannot go elsewhere.")
