# SPDX-License-Identifier: LGPL-2.1-or-later
"""Puts damaged files into a tree, one at a time.

An input is the path of a file, a NUL, and what to put there: its content, or one of KINDS for
something that is no file.
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path

KINDS: Mapping[bytes, Callable[[str], object]] = {
    b"!gone": lambda path: None,
    b"!directory": os.mkdir,
    b"!pipe": os.mkfifo,
    b"!link": lambda path: os.symlink("/dev/zero", path),
    b"!loop": lambda path: os.symlink(os.path.basename(path), path),
}


class InTree:
    """Puts one file into a tree, has the tree read, and takes the file out again."""

    def __init__(self, root: Path, read: Callable[[], object]) -> None:
        self._root = root
        self._read = read
        self._files = {
            os.path.relpath(os.path.join(top, name), root): Path(top, name).read_bytes()
            for top, _, names in os.walk(root)
            for name in names
        }
        self._names = sorted(self._files)
        self.seeds = tuple(
            f"{name}\0".encode() + content[: 1 << 13]
            for name in self._names
            for content in (self._files[name], *KINDS)
        )

    def __call__(self, data: bytes) -> None:
        name, _, content = data.partition(b"\0")
        path = self._known(os.fsdecode(name))
        target = os.path.join(self._root, path)
        os.unlink(target)
        try:
            make = KINDS.get(content)
            if make is None:
                Path(target).write_bytes(content)
            else:
                make(target)
            self._read()
        finally:
            if os.path.isdir(target) and not os.path.islink(target):
                os.rmdir(target)
            elif os.path.lexists(target):
                os.unlink(target)
            Path(target).write_bytes(self._files[path])

    def _known(self, name: str) -> str:
        """A file of the tree, whatever has become of its name."""
        if name in self._files:
            return name
        return self._names[sum(os.fsencode(name)) % len(self._names)]
