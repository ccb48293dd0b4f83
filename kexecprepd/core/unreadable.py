# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a reading is where it is no Snapshot: why sysfs could not be read, as a value."""

from dataclasses import dataclass

UNSTABLE = "sysfs-unstable"
"""The code of a tree that kept changing while it was read."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Sysfs could not be read whole.

    `code` says how, as a finding's code; `path` is the file or directory, `problem` what was
    wrong with it, `hint` what to do. None of them holds an address or a file's content. `denied`:
    the reader lacks a privilege. `transient`: nothing says that the tree itself is bad, and the
    next reading may well succeed. `contained`: it was denied in a container, where that is right.
    """

    code: str
    path: str
    problem: str
    hint: str
    denied: bool = False
    transient: bool = False
    contained: bool = False

    def __str__(self) -> str:
        return f"{self.path}: {self.problem}"

    @property
    def sentence(self) -> str:
        """All of it but the hint, for people."""
        return f"Sysfs could not be read: {self}."

    @property
    def unstable(self) -> bool:
        """Whether it kept changing, so that what was read before is as good as ever."""
        return self.code == UNSTABLE
