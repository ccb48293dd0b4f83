# SPDX-License-Identifier: LGPL-2.1-or-later
"""Keeps a handover in /run/kexecprepd for late shutdown and for the daemon's next start.

`setup_data` (the image), `snapshot.json` (everything else) and `view` (sysfs as a loader should
find it) are symbolic links into one directory behind the link `current`. Replacing that link
replaces all of them in one step, so no reader finds one of them old and another new, half-written
or stale. `changed` is a plain file that is written and closed after that: for systemd's
PathChanged=, which does not see links change.

All is done below one open directory, which is no link: where the root is another's tree, the daemon
writes nowhere else.
"""

import json
import logging
import os
import secrets
import shutil
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..core.errors import KexecprepdError
from ..core.generation import Handover, Parts
from ..core.image import sha256
from ..core.timestamp import Timestamp
from ..core.view import DIRECTORY_MODE, view
from ..reading import small, view_files
from ..wire.loader_info import loader_info

FORMAT = 1
"""Version of snapshot.json's layout."""

DIRECTORY = Path("run/kexecprepd")
"""Where the cache lies below the root."""

IMAGE = "setup_data"
SNAPSHOT = "snapshot.json"
VIEW = "view"

CHANGED = "changed"

_BELOW = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

_CURRENT = "current"
_PREFIX = "pair."
_PAIR = frozenset((_CURRENT, IMAGE, SNAPSHOT, VIEW))


log = logging.getLogger(__name__)


class CacheError(KexecprepdError):
    """The cache cannot be used or written; the text says why.

    `stale`: what is there is out of date, and could not be taken away.
    """

    LEAD = "The cache cannot be used"

    def __init__(self, reason: str, *, stale: bool = False) -> None:
        super().__init__(reason)
        self.stale = stale


@dataclass(frozen=True, slots=True)
class Cached:
    """What an earlier run of the daemon left behind.

    `mismatch` says why the image is not the one that `document`, the content of snapshot.json,
    describes; None where the pair is of one piece.
    """

    boot_id: str
    generation: int
    taken: Timestamp
    parts: Parts
    sha256: str
    document: Mapping[str, Any]
    mismatch: str | None = None


def keep(root: Path, handover: Handover) -> None:
    """As `write`; a failure is logged, and no reason to stop: the bus still serves."""
    try:
        write(root, handover)
    except CacheError as error:
        what = "late shutdown has none"
        if error.stale:
            what = (
                "what late shutdown finds there may be out of date, as it cannot be removed either"
            )
        log.error("The cache cannot be written, so %s: %s", what, error.reason)


def write(root: Path, handover: Handover) -> None:
    """Replace the cached pair and view with a handover's, in one step, and write `changed`.

    Whatever else has one of these names is removed. Raises CacheError where that fails; the old
    pair is then gone, or the error says that it is stale.
    """
    try:
        with _opened(root, create=True) as directory:
            try:
                _replace(directory, handover)
            except OSError as error:
                stale = not _withdraw(directory)
                with suppress(OSError):
                    _touch(directory, handover)
                raise CacheError(_words_of(root, error), stale=stale) from error
    except OSError as error:
        raise CacheError(_words_of(root, error), stale=_is_there(root)) from error


def _is_there(root: Path) -> bool:
    """Whether there is something of an earlier write, for which nothing has to be opened."""
    return any(os.path.lexists(root / DIRECTORY / name) for name in _PAIR)


@contextmanager
def _opened(root: Path, *, create: bool = False) -> Iterator[int]:
    """The cache's directory, open. Raises OSError, also for a link below `root` on the way."""
    path, fd = root, os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for name in DIRECTORY.parts:
            path = path / name
            try:
                if create:
                    with suppress(FileExistsError):
                        os.mkdir(name, 0o755, dir_fd=fd)
                below = os.open(name, _BELOW, dir_fd=fd)
            except OSError as error:
                error.filename = str(path)
                if path.is_symlink():
                    error.strerror = "it is a symbolic link, and those are not followed here"
                raise
            os.close(fd)
            fd = below
        if create and stat.S_IMODE(os.fstat(fd).st_mode) != 0o700:
            os.fchmod(fd, 0o700)
        yield fd
    finally:
        os.close(fd)


def _words_of(root: Path, error: OSError) -> str:
    """What went wrong, with the whole path: names are relative to the open directory."""
    return f"{root / DIRECTORY / (error.filename or '')}: {error.strerror}"


def _replace(directory: int, handover: Handover) -> None:
    data = handover.assessment.image
    previous = _target(directory, _CURRENT)
    new = _PREFIX + secrets.token_hex(4)
    os.mkdir(new, 0o700, dir_fd=directory)
    try:
        if data is not None:
            _write_file(directory, f"{new}/{IMAGE}", data)
        text = json.dumps(document(handover), indent=1).encode() + b"\n"
        _write_file(directory, f"{new}/{SNAPSHOT}", text)
        _write_view(directory, f"{new}/{VIEW}", handover)
        if data is not None:
            _link(directory, IMAGE, f"{_CURRENT}/{IMAGE}")
        _link(directory, SNAPSHOT, f"{_CURRENT}/{SNAPSHOT}")
        _link(directory, VIEW, f"{_CURRENT}/{VIEW}")
        _link(directory, _CURRENT, new)
    except OSError:
        with suppress(OSError):
            _clear(directory, new)
        raise
    # A reader that has just followed the old link still finds its files, unless they are
    # what must not be handed over any more.
    keep = {new, previous}
    if data is None:
        keep.discard(previous)
        _clear(directory, IMAGE)
    for old in os.listdir(directory):
        if old.startswith(_PREFIX) and old not in keep:
            with suppress(OSError):
                _clear(directory, old)
    _touch(directory, handover)


def _target(directory: int, name: str) -> str | None:
    try:
        return os.readlink(name, dir_fd=directory)
    except OSError:
        return None  # there is none yet, or something that is no link


def _write_file(directory: int, name: str, content: bytes) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    with open(os.open(name, flags, 0o400, dir_fd=directory), "wb") as file:
        file.write(content)


def _write_view(directory: int, name: str, handover: Handover) -> None:
    os.mkdir(name, dir_fd=directory)
    os.chmod(name, DIRECTORY_MODE, dir_fd=directory)
    for folder, files in view(handover).items():
        os.mkdir(f"{name}/{folder.name}", dir_fd=directory)
        view_files.write(f"{name}/{folder.name}", folder, files, dir_fd=directory)


def _link(directory: int, name: str, target: str) -> None:
    """Make `name` a link to `target`: in one step, unless it was a directory before."""
    if _target(directory, name) == target:
        return
    new = f".{name}.new"
    _clear(directory, new)
    os.symlink(target, new, dir_fd=directory)
    try:
        os.replace(new, name, src_dir_fd=directory, dst_dir_fd=directory)
    except IsADirectoryError:
        _clear(directory, name)
        os.replace(new, name, src_dir_fd=directory, dst_dir_fd=directory)


def _clear(directory: int, name: str) -> None:
    """Remove whatever has a name, if anything has."""
    try:
        os.unlink(name, dir_fd=directory)
    except FileNotFoundError:
        return
    except IsADirectoryError:
        shutil.rmtree(name, dir_fd=directory)


def _touch(directory: int, handover: Handover) -> None:
    """Tell systemd: write to `changed`, and close it."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        fd = os.open(CHANGED, flags, 0o600, dir_fd=directory)
    except OSError:
        _clear(directory, CHANGED)  # a link, a directory or a pipe
        fd = os.open(CHANGED, flags, 0o600, dir_fd=directory)
    with open(fd, "wb") as file:
        file.write(b"%d\n" % handover.generation)


def _withdraw(directory: int) -> bool:
    """Take the pair away, so that nobody takes it for the present one; whether it is gone."""
    for name in _PAIR:
        with suppress(OSError):
            _clear(directory, name)
    return _PAIR.isdisjoint(os.listdir(directory))


def document(handover: Handover) -> Mapping[str, Any]:
    """The content of snapshot.json: all that is known of a handover but the image's bytes."""
    assessment, info = handover.assessment, loader_info(handover)
    return {
        "format": FORMAT,
        "boot-id": handover.boot_id,
        "generation": handover.generation,
        "timestamp": handover.taken.realtime,
        "timestamp-monotonic": handover.taken.monotonic,
        "state": assessment.state,
        "reason": assessment.reason,
        "sha256": assessment.sha256,
        "findings": [
            {
                "severity": finding.severity,
                "code": finding.code,
                "message": finding.message,
                "hint": finding.hint,
                "details": dict(finding.details),
            }
            for finding in assessment.findings
        ],
        "info": info.to_json() if info else _name(handover),
        "snapshot": handover.parts,
    }


def _name(handover: Handover) -> Mapping[str, Any]:
    """The members of `info` that a handover without an image has as well."""
    return {
        "generation": handover.generation,
        "sha256": handover.assessment.sha256,
        "boot-id": handover.boot_id,
        "state": handover.assessment.state,
    }


def read(root: Path) -> Cached | None:
    """What is cached, None where nothing is.

    Raises CacheError where snapshot.json is damaged, of another format or unreadable.
    """
    try:
        with _opened(root) as directory:
            return _read(directory)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CacheError(_words_of(root, error)) from error


def _read(directory: int) -> Cached | None:
    try:
        text = small.contents(SNAPSHOT, dir_fd=directory)
    except FileNotFoundError:
        if IMAGE in os.listdir(directory):
            raise CacheError(f"{IMAGE} is there without {SNAPSHOT}") from None
        return None
    except OSError as error:
        raise CacheError(f"{SNAPSHOT} cannot be read: {error.strerror}") from error
    cached = _parse(text)
    try:
        found = sha256(small.contents(IMAGE, dir_fd=directory))
    except FileNotFoundError:
        found = ""
    except OSError as error:
        return replace(cached, mismatch=f"{IMAGE} cannot be read: {error.strerror}")
    if found != cached.sha256:
        return replace(cached, mismatch=f"{IMAGE} is not the image that {SNAPSHOT} describes")
    return cached


def _parse(text: bytes) -> Cached:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CacheError(f"{SNAPSHOT} is not JSON") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise CacheError(f"{SNAPSHOT} is not of format {FORMAT}")

    def member(name: str, kind: type) -> Any:
        value = content.get(name)
        if not isinstance(value, kind) or isinstance(value, bool):
            raise CacheError(f"{SNAPSHOT} has no {name}")
        if isinstance(value, int) and not 0 < value < 1 << 63:
            raise CacheError(f"{SNAPSHOT} has a {name} out of range")
        return value

    return Cached(
        boot_id=member("boot-id", str),
        generation=member("generation", int),
        taken=Timestamp(member("timestamp", int), member("timestamp-monotonic", int)),
        parts=member("snapshot", dict),
        sha256=member("sha256", str),
        document=content,
    )
