# SPDX-License-Identifier: LGPL-2.1-or-later
"""Tells what is missing from what may not be looked at: Path.exists() does not in Python 3.14."""

import os
from pathlib import Path


def is_there(path: Path) -> bool:
    """Whether there is anything by that name. Raises PermissionError where that cannot be told."""
    try:
        os.stat(path)
    except PermissionError:
        raise
    except OSError:
        return False
    return True
