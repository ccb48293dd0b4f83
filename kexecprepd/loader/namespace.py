# SPDX-License-Identifier: LGPL-2.1-or-later
"""The one module that knows unshare(2) and mount(2): a view of sysfs for this process alone.

What it starts from then on sees the view in place of the kernel's two folders; nobody else does,
and all of it is gone with the last process that saw it.
"""

import ctypes
import os
from pathlib import Path

from ..core.view import View
from ..reading import view_files
from ..reading.tree import words_of
from .errors import LoadError

_CLONE_NEWNS = 0x0002_0000
"""Source: include/uapi/linux/sched.h."""

_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_NOEXEC = 1, 2, 4, 8
_MS_REMOUNT, _MS_REC, _MS_PRIVATE = 1 << 5, 1 << 14, 1 << 18
"""Source: include/uapi/linux/mount.h."""

_PLAIN = _MS_NOSUID | _MS_NODEV | _MS_NOEXEC

_SYSFS = Path("/sys")


def cover(view: View) -> None:
    """Put a copy of the view over the kernel's folders, in a mount namespace of this thread's own.

    Raises LoadError; the process is then to do nothing but end.
    """
    try:
        _call("unshare", ctypes.c_int(_CLONE_NEWNS))
        # No mount below it is seen elsewhere; for all others the namespaces stay in step.
        _mount(None, _SYSFS, None, _MS_REC | _MS_PRIVATE)
        for folder, files in view.items():
            top = Path("/", folder.shadows)
            _mount("kexecprepd", top, "tmpfs", _PLAIN)
            view_files.write(top, folder, files)
            _mount(None, top, None, _MS_REMOUNT | _MS_RDONLY | _PLAIN)
    except OSError as error:
        where = f" over {error.filename}" if error.filename else ""
        raise LoadError(
            f"The view cannot be put{where}: {words_of(error)}.",
            "It takes CAP_SYS_ADMIN, and a kernel that has both folders of sysfs.",
            denied=isinstance(error, PermissionError),
        ) from error


def _mount(source: str | None, target: Path, kind: str | None, flags: int) -> None:
    def text(value: str | None) -> ctypes.c_char_p:
        return ctypes.c_char_p(None if value is None else value.encode())

    arguments = (text(source), ctypes.c_char_p(os.fsencode(target)), text(kind))
    _call("mount", *arguments, ctypes.c_ulong(flags), None, path=target)


def _call(name: str, *arguments: object, path: Path | None = None) -> None:
    """Call a function of libc that returns 0 where it succeeds. Raises OSError."""
    if getattr(ctypes.CDLL(None, use_errno=True), name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), None if path is None else str(path))
