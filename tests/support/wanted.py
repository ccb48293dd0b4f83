# SPDX-License-Identifier: LGPL-2.1-or-later
"""What `kexecprepctl load` makes of files and options, and files that are open from memory."""

import os
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kexecprepd.ctl.wanted import Wanted, read_wanted
from kexecprepd.loader.files import Opened

OPTIONS: dict[str, Any] = {
    "kernel": None,
    "initrd": [],
    "entry": None,
    "profile": None,
    "append": None,
    "reuse_cmdline": False,
    "no_efi": False,
    "no_receipt": False,
    "syscall": "auto",
    "ahead": False,
}
"""The options of `load`, with their defaults."""


def wanted(
    top: Path, kernel: bytes, *initrds: bytes, path: Path | None = None, **options: Any
) -> Wanted:
    """What is wanted of these files, with options as the command line gives them.

    The kernel is at `path`. The files are closed again.
    """
    path = path or top / "kernel"
    path.write_bytes(kernel)
    paths = [top / f"initrd.{number}" for number in range(len(initrds))]
    for each, content in zip(paths, initrds, strict=True):
        each.write_bytes(content)
    given = {**OPTIONS, "kernel": path, "initrd": paths, "root": top, **options}
    with read_wanted(Namespace(**given)) as found:
        return found


@contextmanager
def opened(content: bytes, name: str = "linux.efi") -> Iterator[Opened]:
    """A file of this content, open under another name."""
    fd = os.memfd_create(name)
    try:
        os.write(fd, content)
        status = os.fstat(fd)
        yield Opened(Path(name), "kernel", fd, status.st_size, (status.st_size, status.st_mtime_ns))
    finally:
        os.close(fd)
