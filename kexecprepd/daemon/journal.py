# SPDX-License-Identifier: LGPL-2.1-or-later
"""Logging to the journal, and org.freedesktop.LogControl1 to steer it while running.

Source: org.freedesktop.LogControl1(5), sd-daemon(3) for the <N> prefixes.
"""

import logging
import os
import sys

from ..wire.errors import InvalidArgs

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


class _JournalFormatter(logging.Formatter):
    """Gives every line its priority: a traceback is many lines, and each is an entry."""

    def format(self, record: logging.LogRecord) -> str:
        prefix = _PREFIXES.get(record.levelno, "<5>")
        return "\n".join(prefix + line for line in super().format(record).splitlines())


def set_up(level: int = logging.INFO) -> "LogControl":
    """Log to stderr: with priorities where systemd made it the journal's, else plainly."""
    to_journal = "JOURNAL_STREAM" in os.environ
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JournalFormatter() if to_journal else logging.Formatter())
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(level)
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
