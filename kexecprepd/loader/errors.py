# SPDX-License-Identifier: LGPL-2.1-or-later
"""Why a kernel is not loaded, in words."""


class LoadError(Exception):
    """Nothing was loaded: a sentence that says what was wrong and where, a hint what to do."""

    def __init__(self, sentence: str, hint: str = "") -> None:
        super().__init__(sentence)
        self.hint = hint
