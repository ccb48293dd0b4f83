# SPDX-License-Identifier: LGPL-2.1-or-later
"""Has a Python program do something more at a moment that no test could hit from outside."""

import os
from pathlib import Path

from .daemon import CHECKOUT


def customised(folder: Path, program: str) -> str:
    """PYTHONPATH with which Python finds the checkout, and runs `program` before all else."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(program)
    return f"{CHECKOUT}{os.pathsep}{folder}"


def at_audit_event(event: str, statement: str) -> str:
    """A program for `customised`: run a statement before each audit event of a kind, of which it
    finds the `arguments`. Source: the audit events table of Python's library reference.
    """
    return f"""
import os, signal, sys

def hook(event, arguments):
    if event == {event!r}:
        {statement}

sys.addaudithook(hook)
"""
