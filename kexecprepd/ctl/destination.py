# SPDX-License-Identifier: LGPL-2.1-or-later
"""Writes a file that the user has named: whole, or as much as a device or a pipe takes of it."""

import os
import sys
import tempfile
from pathlib import Path

from ..reading.tree import printable, words_of
from .exits import CtlError, Exit


class Destination:
    """Where to write; `-` is standard output, and then `is_stdout` says that nothing else may be
    printed there. Making one raises CtlError for a terminal, which takes no binary file.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self.is_stdout = name == "-"
        if self.is_stdout and sys.stdout.isatty():
            sentence = "The image is binary, and will not be written to a terminal."
            raise CtlError(Exit.USAGE, sentence, "Redirect standard output, or name a file.")

    def write(self, data: bytes) -> None:
        """Write all of it. A file is one that only its owner may read, and an old one stays whole
        until the new one is. Raises CtlError.
        """
        if self.is_stdout:
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
            return
        path = Path(self._name)
        try:
            if path.exists() and not path.is_file():
                path.write_bytes(data)  # a device or a pipe cannot be replaced
            else:
                _replace(path, data)
        except OSError as error:
            sentence = f"{printable(path)} cannot be written: {words_of(error)}."
            raise CtlError(Exit.FAILED, sentence) from error


def _replace(path: Path, data: bytes) -> None:
    fd, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with open(fd, "wb") as file:
            file.write(data)
        os.replace(name, path)
    except OSError:
        os.unlink(name)
        raise
