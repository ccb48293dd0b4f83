# SPDX-License-Identifier: LGPL-2.1-or-later
"""Reads /proc/iomem: what the running kernel itself uses each physical address for.

The firmware's memory map knows nothing of the crash kernel's memory, of what a command line
took away (memmap=, mem=), nor of memory that a driver manages; this does.

Source: kernel/resource.c (r_show): two blanks for each level of nesting, at least four
hexadecimal digits, and zeros in place of every address for those without CAP_SYS_ADMIN.
"""

import errno
import re
from dataclasses import dataclass
from pathlib import Path

from ..core.errors import KexecprepdError
from ..core.intervals import Interval
from . import proc, small
from .tree import words_of

_PASSES = 10
_LINE = re.compile(r"((?:  )*)([0-9a-f]{4,16})-([0-9a-f]{4,16}) : (.+)")
_AS_ROOT = "Run this as root, with CAP_SYS_ADMIN."
_DAMAGED = "This is not what the kernel writes: compare with kernel/resource.c."


class IomemError(KexecprepdError):
    """/proc/iomem cannot be read, tells no addresses, or is not what the kernel writes."""


@dataclass(frozen=True, slots=True)
class Resource:
    """One line: physical addresses in bytes, `end` inclusive; `depth` is 0 at the top."""

    start: int
    end: int
    name: str
    depth: int

    @property
    def extent(self) -> Interval:
        """Its physical addresses."""
        return Interval(self.start, self.end)


def read(root: Path) -> tuple[Resource, ...] | None:
    """Every resource below `root`, in the file's order, which is ascending on each level.

    None where there is no such file, as in a recording of /sys alone. Raises IomemError.
    """
    path = proc.path(root, "iomem")
    previous: bytes | None = None
    # The kernel gives it in pieces, and leaves a line out where one before it goes meanwhile.
    for _ in range(_PASSES):
        try:
            data = small.contents(path)
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno == errno.EFBIG:
                raise IomemError(f"{path} is {words_of(error)}.", _DAMAGED) from error
            sentence = f"{path} cannot be read: {words_of(error)}."
            denied = isinstance(error, PermissionError)
            raise IomemError(sentence, _AS_ROOT, denied=denied) from error
        if data == previous:
            break
        previous = data
    else:
        sentence = f"{path} kept changing: no two of {_PASSES} readings agreed."
        raise IomemError(sentence, "Try again when no devices are being plugged.")
    resources = parse(data.decode("utf-8", "backslashreplace"), str(path))
    if all(resource.start == resource.end == 0 for resource in resources):
        sentence = f"{path} tells root alone which memory is in use."
        raise IomemError(sentence, _AS_ROOT, denied=True)
    return resources


def parse(text: str, name: str) -> tuple[Resource, ...]:
    """Take the text of the file `name` apart. Raises IomemError, which names the line."""
    *lines, rest = text.split("\n")
    if rest or not lines:
        raise IomemError(f"{name} does not end with a whole line.", _DAMAGED)
    resources: list[Resource] = []
    for number, line in enumerate(lines, 1):
        match = _LINE.fullmatch(line)
        if match is None:
            raise IomemError(f"{name}, line {number}, is not a range with a name.", _DAMAGED)
        resource = Resource(int(match[2], 16), int(match[3], 16), match[4], len(match[1]) // 2)
        if resource.depth > (resources[-1].depth + 1 if resources else 0):
            raise IomemError(f"{name}, line {number}, is nested below nothing.", _DAMAGED)
        if resource.end < resource.start:
            raise IomemError(f"{name}, line {number}, ends before it begins.", _DAMAGED)
        resources.append(resource)
    return tuple(resources)
