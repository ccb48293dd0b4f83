# SPDX-License-Identifier: LGPL-2.1-or-later
"""Writes a folder of the view where something is to read it in place of the kernel's."""

import os
from collections.abc import Iterable
from pathlib import Path

from ..core.view import DIRECTORY_MODE, File, Folder


def write(
    name: str | Path, folder: Folder, files: Iterable[File], *, dir_fd: int | None = None
) -> None:
    """Put files into an empty directory, relative to the one that is open as `dir_fd`, if one is,
    with the modes that the kernel's have, whatever the umask. Raises OSError.
    """
    top = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=dir_fd)
    try:
        os.fchmod(top, DIRECTORY_MODE)
        made = set()
        for file in files:
            entry = os.path.dirname(file.path)
            if entry not in made:
                made.add(entry)
                os.mkdir(entry, dir_fd=top)
                os.chmod(entry, DIRECTORY_MODE, dir_fd=top)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            with open(os.open(file.path, flags, folder.mode, dir_fd=top), "wb") as written:
                written.write(file.content)
                os.fchmod(written.fileno(), folder.mode)
    finally:
        os.close(top)
