# SPDX-License-Identifier: LGPL-2.1-or-later
"""For commands that are about the running system: they refuse --root."""

from argparse import Namespace
from pathlib import Path

from .exits import CtlError, Exit

HERE = Path("/")
"""The root of the running system, which --root has where it is left out."""


def require_here(options: Namespace) -> None:
    """Raises CtlError where --root names another tree."""
    if options.root != HERE:
        sentence = f"{options.command} is about this system, not about the tree that --root names."
        raise CtlError(Exit.USAGE, sentence, "Leave --root out.")
