# SPDX-License-Identifier: LGPL-2.1-or-later
"""Reads a file of /proc, also where the unit's sandbox shows nothing but processes there."""

import os
from pathlib import Path

from . import small


def text(root: Path, name: str) -> str:
    """A file of `root`/proc, without the white space around it.

    ProcSubset=pid hides it from the service, so systemd hands it over as a credential, named
    after the file: systemd.exec(5), LoadCredential=. Raises OSError if it cannot be read.
    """
    return small.text(_path(root, name)).strip()


def _path(root: Path, name: str) -> Path:
    directory = os.environ.get("CREDENTIALS_DIRECTORY")
    if directory and root == Path("/"):
        credential = Path(directory, f"kexecprepd.{Path(name).name}")
        if credential.exists():
            return credential
    return root / "proc" / name
