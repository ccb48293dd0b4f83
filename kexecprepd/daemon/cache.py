# SPDX-License-Identifier: LGPL-2.1-or-later
"""Keeps a handover in /run/kexecprepd for late shutdown and for the daemon's next start.

`setup_data` (the image) and `snapshot.json` (everything else) are symbolic links into one
directory behind the link `current`. Replacing that link replaces both files in one step, so
no reader finds one of them old and the other new, half-written or stale.
"""

import json
import logging
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..core.errors import KexecprepdError
from ..core.generation import Handover, Parts, Timestamp
from ..core.image import sha256
from ..wire.loader_info import loader_info

FORMAT = 1
"""Version of snapshot.json's layout."""

DIRECTORY = Path("run/kexecprepd")
"""Where the cache lies below the root."""

IMAGE = "setup_data"
SNAPSHOT = "snapshot.json"

_CURRENT = "current"
_PREFIX = "pair."


log = logging.getLogger(__name__)


class CacheError(KexecprepdError):
    """The cache cannot be used or written; the text says why."""

    LEAD = "The cache cannot be used"


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
        log.error("The cache cannot be written, so late shutdown has none: %s", error.reason)


def write(root: Path, handover: Handover) -> None:
    """Replace the cached pair with a handover, both files in one step.

    Raises CacheError where that fails; the old pair is then gone rather than stale.
    """
    directory = root / DIRECTORY
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        directory.chmod(0o700)
        _replace(directory, handover)
    except OSError as error:
        _remove_stale(directory)
        raise CacheError(f"{error.filename or directory}: {error.strerror}") from error


def _replace(directory: Path, handover: Handover) -> None:
    data = handover.assessment.image
    previous = _target(directory)
    new = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=directory))
    try:
        if data is not None:
            _write_file(new / IMAGE, data)
        _write_file(new / SNAPSHOT, json.dumps(document(handover), indent=1).encode() + b"\n")
        if data is not None:
            _link(directory, IMAGE, f"{_CURRENT}/{IMAGE}")
        _link(directory, SNAPSHOT, f"{_CURRENT}/{SNAPSHOT}")
        _link(directory, _CURRENT, new.name)
    except OSError:
        shutil.rmtree(new, ignore_errors=True)
        raise
    # A reader that has just followed the old link still finds its files, unless they are
    # what must not be handed over any more.
    keep = {new.name, previous}
    if data is None:
        keep.discard(previous)
        (directory / IMAGE).unlink(missing_ok=True)
    for old in directory.glob(_PREFIX + "*"):
        if old.name not in keep:
            shutil.rmtree(old, ignore_errors=True)


def _target(directory: Path) -> str:
    try:
        return os.readlink(directory / _CURRENT)
    except OSError:
        return ""  # there is none yet, or something that is no link


def _write_file(path: Path, content: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o400)
    with open(fd, "wb") as file:
        file.write(content)


def _link(directory: Path, name: str, target: str) -> None:
    """Make `name` a link to `target` in one step, whatever it was before."""
    path = directory / name
    if path.is_symlink() and os.readlink(path) == target:
        return
    new = directory / f".{name}.new"
    new.unlink(missing_ok=True)
    new.symlink_to(target)
    new.replace(path)


def _remove_stale(directory: Path) -> None:
    try:
        (directory / _CURRENT).unlink(missing_ok=True)
    except OSError:
        return  # the directory cannot be written at all: the caller is told so


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
    directory = root / DIRECTORY
    try:
        text = (directory / SNAPSHOT).read_bytes()
    except FileNotFoundError:
        if os.path.lexists(directory / IMAGE):
            raise CacheError(f"{IMAGE} is there without {SNAPSHOT}") from None
        return None
    except OSError as error:
        raise CacheError(f"{SNAPSHOT} cannot be read: {error.strerror}") from error
    cached = _parse(text)
    try:
        found = sha256((directory / IMAGE).read_bytes())
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
