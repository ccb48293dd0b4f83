# SPDX-License-Identifier: LGPL-2.1-or-later
"""Gives files to a program as systemd gives back what it has kept: sd_listen_fds(3)."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass

NAME = "kexecprepd-handover"
ALL_SEALS = 0xF
"""F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_GROW and F_SEAL_WRITE of <linux/fcntl.h>."""

_PROGRAM = """
import fcntl, json, os, sys

files = json.loads(sys.argv[1])
for number, (name, content, seals) in enumerate(files):
    if content is None:
        fd = os.open("/dev/null", os.O_RDONLY)
    else:
        fd = os.memfd_create(name, os.MFD_ALLOW_SEALING)
        os.truncate(fd, len(content) // 2)
        os.write(fd, bytes.fromhex(content))
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
    os.dup2(fd, 100 + number, inheritable=False)
for number in range(len(files)):
    os.dup2(100 + number, 3 + number)
os.environ["LISTEN_PID"] = str(os.getpid())
os.environ["LISTEN_FDS"] = str(len(files))
os.environ["LISTEN_FDNAMES"] = ":".join(name for name, _, _ in files)
os.execvp(sys.argv[2], sys.argv[2:])
"""


@dataclass(frozen=True)
class Kept:
    """A file of memory, at the position that its writer left; `content` None is no such file."""

    content: bytes | None
    seals: int = ALL_SEALS
    name: str = NAME


def given(files: Sequence[Kept]) -> list[str]:
    """What goes before a command for it to have these files from its start."""
    told = [(each.name, each.content and each.content.hex(), each.seals) for each in files]
    return [sys.executable, "-c", _PROGRAM, json.dumps(told)]
