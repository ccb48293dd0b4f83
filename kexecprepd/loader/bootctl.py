# SPDX-License-Identifier: LGPL-2.1-or-later
"""Asks bootctl, where it is installed, for what it alone knows of this machine's boot entries.

That is where the partitions are, which it finds by their types, and which entry is the default.
What the entries say is read from their files as everywhere else.
"""

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_TIMEOUT = 20
"""Seconds; an automounted partition may have to be checked first."""


@dataclass(frozen=True, slots=True)
class Told:
    """Where the partitions are mounted, and the default entry's ID, None where it says none."""

    tops: tuple[Path, ...]
    default: str | None


def ask() -> Told | None:
    """None where there is no bootctl, or it knows of nothing: there is no such boot loader then."""
    program = shutil.which("bootctl")
    if program is None:
        return None
    command = [program, "list", "--json=short", "--no-pager"]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_TIMEOUT, check=True
        )
        return understood(json.loads(done.stdout))
    except (OSError, subprocess.SubprocessError, ValueError, RecursionError):
        return None


def understood(value: Any) -> Told | None:
    """Of what it says in JSON: an array of objects. Older ones do not tell the default."""
    if not isinstance(value, list):
        return None
    entries = [each for each in value if isinstance(each, dict)]
    roots = [each.get("root") for each in entries if each.get("type") in ("type1", "type2")]
    tops = [Path(each) for each in roots if isinstance(each, str) and each.startswith("/")]
    default = next((each.get("id") for each in entries if each.get("isDefault") is True), None)
    return Told(tuple(dict.fromkeys(tops)), default if isinstance(default, str) else None)
