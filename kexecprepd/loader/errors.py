# SPDX-License-Identifier: LGPL-2.1-or-later
"""Why a kernel is not loaded, in words."""

from ..core.errors import KexecprepdError


class LoadError(KexecprepdError):
    """Nothing was loaded: a sentence that says what was wrong and where, a hint what to do."""


class Refused(LoadError):
    """The same, as the running kernel has it: `number` is the system call's errno."""

    def __init__(self, number: int, sentence: str, hint: str) -> None:
        super().__init__(sentence, hint)
        self.number = number
