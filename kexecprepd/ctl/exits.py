# SPDX-License-Identifier: LGPL-2.1-or-later
"""How kexecprepctl ends: its exit codes, and the error that carries one."""

import os
import sys
from enum import IntEnum
from typing import TYPE_CHECKING

from ..core.errors import KexecprepdError

if TYPE_CHECKING:  # --help does not wait for dataclasses
    from ..core.unreadable import Unreadable


class Exit(IntEnum):
    """Exit codes, as kexecprepctl(1) documents them."""

    OK = 0
    FAILED = 1
    USAGE = 2
    DEGRADED = 3
    INVALID = 4
    UNSUPPORTED = 5
    UNREACHABLE = 6
    DENIED = 7
    REFUSED = 8
    LOST = 9
    DIFFERENT = 10


class CtlError(KexecprepdError):
    """Ends the program with `code`, one sentence on standard error, and what to do about it."""

    def __init__(self, code: Exit, sentence: str, hint: str = "") -> None:
        super().__init__(sentence, hint, denied=code is Exit.DENIED)
        self.code = code


def failed(why: "KexecprepdError | Unreadable") -> CtlError:
    """How the program ends for something that another floor could not do."""
    return CtlError(Exit.DENIED if why.denied else Exit.FAILED, why.sentence, why.hint)


def prefix_of_errors() -> str:
    """What has an error on standard error be one in the journal, where that is read by it.

    Source: systemd.exec(5), $JOURNAL_STREAM and SyslogLevelPrefix=.
    """
    try:
        stream = os.fstat(sys.stderr.fileno())
    except (OSError, AttributeError):  # it is closed, or no file at all
        return ""
    to_journal = os.environ.get("JOURNAL_STREAM") == f"{stream.st_dev}:{stream.st_ino}"
    return "<3>" if to_journal else ""
