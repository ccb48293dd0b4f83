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
from ..reading.archive import RecordingError, extracted, pack
from ..reading.gather import gather
from ..reading.tree import ReadError
from .destination import Destination
from .exits import CtlError, Exit, failed
from .output import Layout, plural, print_json, printable, size, table
from .terminal import fitted, width

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
    destination = Destination(options.file)
    try:
        members: Members = gather(options.root)
    except ReadError as error:
        raise failed(error) from error
    if options.redact:
        members = redacted(members)
    members = {ABOUT: _about(redact=options.redact), **members}
    data = pack(members)
    told = shares(members)
    if options.json == "off" and not options.quiet:
        _say(options, told, data, aside=destination.is_stdout)
    destination.write(data)
    if options.json != "off" and not destination.is_stdout:
        print_json(_as_json(options, told, data), options.json)
    return Exit.OK


@contextmanager
def replayed(options: Namespace) -> Iterator[None]:
    """Have --root name a tree while it names a recording. Raises CtlError."""
    recording: Path = options.root
    if options.command == "adopt" or recording.is_dir() or not recording.exists():
        yield
        return
    try:
        with extracted(recording) as top:
            options.root = top
            try:
                yield
            except CtlError as error:  # which names the recording, not where it is unpacked
                sentence = error.sentence.replace(str(top), str(recording))
                raise CtlError(error.code, sentence, error.hint) from error
    except RecordingError as error:
        raise failed(error) from error
    finally:
        options.root = recording


def _about(*, redact: bool) -> bytes:
    content = {"format": FORMAT, "program": f"kexecprepd {__version__}", "redacted": redact}
    return json.dumps(content, separators=(",", ":")).encode() + b"\n"


def _say(options: Namespace, told: tuple[Share, ...], data: bytes, *, aside: bool) -> None:
    where = sys.stderr if aside else sys.stdout  # not where the archive goes
    rows = [(str(each.what), str(each.files), size(each.size)) for each in told]
    columns = width(where)
    layout = Layout(columns, legend=not options.no_legend)
    print(table(("WHAT", "FILES", "SIZE"), rows, frozenset({1, 2}), layout), file=where)
    files = plural(sum(each.files for each in told), "file")
    name = "Standard output" if options.file == "-" else printable(options.file)
    told_of = f"\n{name}: {files}, {size(len(data))} when compressed."
    print(told_of, file=where)
    print(fitted(_REDACTED if options.redact else _TELLING, columns), file=where, flush=True)


def _as_json(options: Namespace, told: tuple[Share, ...], data: bytes) -> dict[str, Any]:
    return {
        "file": options.file,
        "size": len(data),
        "redacted": options.redact,
        "contents": [
            {"what": str(each.what), "files": each.files, "size": each.size} for each in told
        ],
    }
