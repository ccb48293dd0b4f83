# SPDX-License-Identifier: LGPL-2.1-or-later
"""Trees that are written once, and then put wherever they are wanted by hard links.

To make a link takes a tenth of the time that it takes to make a file. Whoever changes a tree must
replace its files, as everything in recordings.py does: what is written in place, or given another
mode, is so in every other tree too. The next `put` or `mend` finds that and fails.
"""

import errno
import os
import shutil
import stat
import tempfile
from atexit import register
from collections.abc import Callable
from pathlib import Path


class Template:
    """One tree, which `make` writes to a folder in `where`; it is kept until the process ends."""

    def __init__(self, make: Callable[[Path], object], where: str) -> None:
        self._top = tempfile.mkdtemp(prefix="kexecprepd-template.", dir=where)
        register(shutil.rmtree, self._top)
        make(Path(self._top))
        self._folders: dict[str, dict[str, int | None]] = {}
        """Each folder's entries: the number of a file's inode, None for a folder."""
        self._files: dict[str, tuple[int, int, int]] = {}
        for folder, folders, names in os.walk(self._top):
            inodes = {name: os.stat(os.path.join(folder, name)).st_ino for name in names}
            self._folders[folder] = {**dict.fromkeys(folders), **inodes}
            self._files |= {each: _state(each) for each in (f"{folder}/{name}" for name in names)}

    def put(self, top: Path) -> None:
        """Make the tree in a directory, which may exist, and has to be empty."""
        top.mkdir(parents=True, exist_ok=True)
        assert not os.listdir(top), f"{top} is not empty"
        self.mend(top)

    def mend(self, top: Path) -> None:
        """Make a tree that was put there what it was before; anything else in it goes."""
        for path, state in self._files.items():
            assert _state(path) == state, f"a test has changed {path} in place: replace it"
        self._mend(self._top, str(top))

    def _mend(self, source: str, target: str) -> None:
        missing = dict(self._folders[source])
        with os.scandir(target) as entries:
            for entry in list(entries):
                is_folder = entry.is_dir(follow_symlinks=False)
                found = None if is_folder else entry.inode()
                if entry.name in missing and missing[entry.name] == found:
                    del missing[entry.name]
                    if is_folder:
                        self._mend(f"{source}/{entry.name}", entry.path)
                elif is_folder:
                    shutil.rmtree(entry.path)
                else:
                    os.unlink(entry.path)
        for name, inode in missing.items():
            if inode is None:
                os.mkdir(f"{target}/{name}")
                self._mend(f"{source}/{name}", f"{target}/{name}")
            else:
                _link(f"{source}/{name}", f"{target}/{name}")


def _state(path: str) -> tuple[int, int, int]:
    """What changes when a file is written to, or gets another mode."""
    found = os.stat(path)
    return found.st_mtime_ns, found.st_size, stat.S_IMODE(found.st_mode)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        shutil.copy2(source, target)  # another file system has no links to this one
