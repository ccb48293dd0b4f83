# SPDX-License-Identifier: LGPL-2.1-or-later
"""Remembers what is loaded, and for what: /run/kexecprepctl/loaded.json, for root alone.

The kernel tells that one is loaded and not which. What was asked for is kept, so that the same can
be loaded again when the memory that it was loaded for has changed.
"""

import errno
import fcntl
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..reading import small
from ..reading.tree import words_of
from .errors import LoadError

FORMAT = 1
"""Of the file; another number is a file of another version."""

_DIRECTORY = "run/kexecprepctl"
_NAME = "loaded.json"
_LIMIT = 1 << 20
"""Bytes, far above the longest command line with many initrds."""

_AGAIN = "Load again: `kexecprepctl load KERNEL`."


@dataclass(frozen=True, slots=True)
class File:
    """A file of which a load was made, by its absolute path, and its digest at that time."""

    path: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked for, and what was found for it.

    `append`, `profile` and `entry`, a boot entry's ID, are None where they were not given; with
    `default` the boot entry was the default one, and `ahead` is that it must not come before what
    the firmware is asked for. `syscall` is auto, load or file. `initrds` are those that were named,
    `others` those that an entry, or a unified kernel image's directory, brought along; `cmdline` is
    the whole command line.
    """

    kernel: File
    initrds: tuple[File, ...]
    append: str | None
    reuse_cmdline: bool
    efi: bool
    receipt: bool = True
    cmdline: str = ""
    others: tuple[File, ...] = ()
    syscall: str = "auto"
    profile: str | None = None
    entry: str | None = None
    default: bool = False
    ahead: bool = False


@dataclass(frozen=True, slots=True)
class Loaded:
    """A load that was done, in the boot `boot_id`, by `syscall`: load or file.

    `handover_sha256` is the digest of what it depends on, with `efi` also on the image;
    `generation` is the daemon's count, None where the daemon was not asked; `loaded_at` is in
    microseconds by CLOCK_REALTIME.
    """

    boot_id: str
    efi: bool
    handover_sha256: str
    generation: int | None
    loaded_at: int
    request: Request
    syscall: str = "load"


def path_of(root: Path) -> Path:
    """Where it is kept."""
    return root / _DIRECTORY / _NAME


def read(root: Path) -> Loaded | None:
    """What is kept below `root`; None where nothing is.

    Raises LoadError for what cannot be read, or is not what `keep` writes.
    """
    path = path_of(root)
    try:
        return _unpacked(json.loads(small.contents(path, _LIMIT)))
    except FileNotFoundError:
        return None
    except OSError as error:
        sentence = f"What is loaded cannot be told: {path}: {words_of(error)}."
        raise LoadError(
            sentence, "Run this as root.", denied=error.errno == errno.EACCES
        ) from error
    except (ValueError, RecursionError) as error:  # also what is not UTF-8, and what is not JSON
        raise LoadError(f"What is loaded cannot be told: {path} is damaged.", _AGAIN) from error


def keep(root: Path, loaded: Loaded) -> None:
    """Remember it in place of what was remembered, in one step. Raises LoadError."""
    path = path_of(root)
    text = json.dumps({"format": FORMAT, **_packed(loaded)}, indent=8) + "\n"
    try:
        fd, name = tempfile.mkstemp(prefix=".", dir=path.parent)
        try:
            with open(fd, "w", encoding="ascii") as file:
                file.write(text)
            os.replace(name, path)
        except BaseException:
            os.unlink(name)
            raise
    except OSError as error:
        sentence = f"{path} cannot be written: {words_of(error)}."
        raise LoadError(sentence, "It takes a writable /run.") from error


def forget(root: Path) -> None:
    """Remember nothing. Raises LoadError."""
    path = path_of(root)
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        sentence = f"{path} cannot be removed: {words_of(error)}."
        raise LoadError(sentence, "It takes a writable /run.") from error


@contextmanager
def alone(root: Path) -> Iterator[None]:
    """Keep every other load and unload waiting, so that what is remembered is what is loaded.

    Makes the directory. Raises LoadError.
    """
    directory = path_of(root).parent
    try:
        directory.mkdir(mode=0o700, exist_ok=True)
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        sentence = f"{directory} cannot be used: {words_of(error)}."
        denied = isinstance(error, PermissionError)
        hint = "Run this as root." if denied else "It is a directory for root alone, in /run."
        raise LoadError(sentence, hint, denied=denied) from error
    try:
        os.fchmod(fd, 0o700)
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _packed(loaded: Loaded) -> dict[str, Any]:
    """With names as JSON's users have them: boot-id, and so on."""

    def dashed(value: Any) -> Any:
        if isinstance(value, dict):
            return {name.replace("_", "-"): dashed(each) for name, each in value.items()}
        return [dashed(each) for each in value] if isinstance(value, tuple) else value

    packed: dict[str, Any] = dashed(asdict(loaded))
    return packed


def _unpacked(value: Any) -> Loaded:
    """The same back. Raises ValueError for anything else."""
    found = _Members(value)
    if found.of("format", int) != FORMAT:
        raise ValueError("another format")
    request = _Members(found.of("request", dict))
    return Loaded(
        boot_id=found.of("boot-id", str),
        efi=found.of("efi", bool),
        syscall=found.of("syscall", str),
        handover_sha256=found.of("handover-sha256", str),
        generation=found.of("generation", int, type(None)),
        loaded_at=found.of("loaded-at", int),
        request=Request(
            kernel=_file(request.of("kernel", dict)),
            initrds=tuple(_file(each) for each in request.of("initrds", list)),
            others=tuple(_file(each) for each in request.of("others", list)),
            append=request.of("append", str, type(None)),
            reuse_cmdline=request.of("reuse-cmdline", bool),
            cmdline=request.of("cmdline", str),
            efi=request.of("efi", bool),
            receipt=request.of("receipt", bool),
            syscall=request.of("syscall", str),
            profile=request.of("profile", str, type(None)),
            entry=request.of("entry", str, type(None)),
            default=request.of("default", bool),
            ahead=request.of("ahead", bool),
        ),
    )


def _file(value: Any) -> File:
    members = _Members(value)
    return File(members.of("path", str), members.of("sha256", str))


class _Members:
    """The members of a JSON object, each of a type that is asked for."""

    def __init__(self, value: Any) -> None:
        if not isinstance(value, dict):
            raise ValueError("no object")
        self._members = value

    def of(self, name: str, *types: type) -> Any:
        """A member's value. Raises ValueError where it is missing, or of another type."""
        value = self._members.get(name, ...)
        if type(value) not in types:  # not isinstance: a bool is no int here
            raise ValueError(name)
        return value
