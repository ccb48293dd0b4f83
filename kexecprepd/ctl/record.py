# SPDX-License-Identifier: LGPL-2.1-or-later
"""Saves all that an answer depends on, and has such a file read in place of a tree."""

import json
import sys
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .. import __version__
from ..core.recording import ABOUT, FORMAT, Members, Share, redacted, shares
from ..reading.archive import RecordingError, extract, pack
from ..reading.gather import gather
from ..reading.small import text_or_none
from ..reading.tree import ReadError
from .destination import Destination
from .exits import CtlError, Exit, failed
from .output import Layout, plural, print_json, printable, size, table
from .terminal import fitted, width
from .uninterrupted import temporary_folder

_TELLING = (
    "It tells physical addresses, and this machine from others: look at it before you give it "
    "away, or use --redact."
)
_REDACTED = (
    "It tells physical addresses. The command line's other words, the kernel's version, boot ids, "
    "the disks' and the screen's numbers, and what devices' firmware holds, are left out."
)


def record(options: Namespace) -> Exit:
    """Say what goes into the file, then write it."""
    destination = Destination(options.file, options.json)
    try:
        members: Members = gather(options.root)
    except ReadError as error:
        raise failed(error) from error
    # A record of a record without what tells the machine is one without that, too.
    redact = options.redact or _is_redacted(options.root)
    if redact:
        members = redacted(members)
    members = {ABOUT: _about(redact=redact), **members}
    data = pack(members)
    told = shares(members)
    in_words = options.json == "off" and not options.quiet
    # Not where the archive goes.
    where = sys.stderr if destination.is_stdout else sys.stdout
    if in_words:
        rows = [(str(each.what), str(each.files), size(each.size)) for each in told]
        layout = Layout(width(where), legend=not options.no_legend)
        print(table(("WHAT", "FILES", "SIZE"), rows, frozenset({1, 2}), layout), file=where)
    destination.write(data)
    if in_words:
        files = plural(sum(each.files for each in told), "file")
        name = "Standard output" if options.file == "-" else printable(options.file)
        print(f"\n{name}: {files}, {size(len(data))} when compressed.", file=where)
        print(fitted(_REDACTED if redact else _TELLING, width(where)), file=where, flush=True)
    elif options.json != "off":
        print_json(_as_json(options.file, told, data, redact=redact), options.json)
    return Exit.OK


@contextmanager
def replayed(options: Namespace) -> Iterator[None]:
    """Have --root name a tree while it names a recording. Raises CtlError."""
    recording: Path = options.root
    if options.command == "adopt" or recording.is_dir() or not recording.exists():
        yield
        return
    with tree_of(recording) as options.root:
        try:
            yield
        finally:
            options.root = recording


@contextmanager
def tree_of(recording: Path) -> Iterator[Path]:
    """A recording as a tree, which is gone afterwards. Raises CtlError, which names the recording
    and not where it is unpacked.
    """
    with temporary_folder() as top:
        try:
            extract(recording, top)
            yield top
        except RecordingError as error:
            raise failed(error) from error
        except CtlError as error:
            sentence = error.sentence.replace(str(top), printable(str(recording)))
            raise CtlError(error.code, sentence, error.hint) from error


def _about(*, redact: bool) -> bytes:
    content = {"format": FORMAT, "program": f"kexecprepd {__version__}", "redacted": redact}
    return json.dumps(content, separators=(",", ":")).encode() + b"\n"


def _is_redacted(root: Path) -> bool:
    """Whether the root is that of a record which was redacted."""
    try:
        about = json.loads(text_or_none(root / ABOUT) or "{}")
    except (ValueError, RecursionError):
        return False
    return isinstance(about, dict) and about.get("redacted") is True


def _as_json(file: str, told: tuple[Share, ...], data: bytes, *, redact: bool) -> dict[str, Any]:
    return {
        "file": file,
        "size": len(data),
        "redacted": redact,
        "contents": [
            {"what": str(each.what), "files": each.files, "size": each.size} for each in told
        ],
    }
