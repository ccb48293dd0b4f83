# SPDX-License-Identifier: LGPL-2.1-or-later
"""Reads a file of /proc, also where a unit's sandbox does not show it."""

import os
from pathlib import Path

from . import small


def text(root: Path, name: str) -> str:
    """A file of `root`/proc, without the white space around it.

    A sandbox hides it, or what it tells, so systemd hands it over as a credential, named after the
    file: systemd.exec(5), LoadCredential=. Raises OSError if it cannot be read.
    """
    return small.text(path(root, name)).strip()


def path(root: Path, name: str) -> Path:
    """Where to read a file of `root`/proc: in its place, or where the unit has it as a credential.

    A credential is as the file was when the unit was started.
    """
    directory = os.environ.get("CREDENTIALS_DIRECTORY")
    if directory and root == Path("/"):
        credential = Path(directory, f"kexecprepd.{Path(name).name}")
        if credential.exists():
            return credential
    return root / "proc" / name
