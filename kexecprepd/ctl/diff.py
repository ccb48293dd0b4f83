# SPDX-License-Identifier: LGPL-2.1-or-later
"""The command that tells two recordings, images or trees, or the running daemon, apart."""

from argparse import Namespace
from dataclasses import asdict
from pathlib import Path

from ..core.difference import (
    Difference,
    Facts,
    Sides,
    differences,
    of_image,
    of_kernel,
    of_memory_map,
    of_verdict,
)
from ..core.finding import State
from ..core.image import ImageError, compose, unpack
from ..reading import proc, small
from ..reading.archive import MAGIC
from ..reading.kernel import read_system
from ..reading.tree import printable as path_of
from ..reading.tree import words_of
from .client import Client
from .exits import CtlError, Exit
from .here import require_here
from .offline import Offline
from .output import layout, print_json, printable, table
from .record import tree_of

DAEMON = "daemon"
"""What stands for the running daemon in place of a file."""

_NEXT = 8
"""Bytes of an image that a loader writes its link into."""

_ZEROS = bytes(256)
"""A table that makes each byte 0."""

_HINT = "Name a recording, an image, a folder that holds sys/, or: daemon."


def diff(options: Namespace) -> Exit:
    """Print what differs; ends with DIFFERENT where anything does."""
    require_here(options)
    before, after = _side(options.before), _side(options.after)
    found = differences(before, after)
    compared = [subject for subject in before if subject in after]
    if not compared:
        sides = f"{path_of(options.before)} and {path_of(options.after)}"
        sentence = f"{sides} have nothing in common that could be compared."
        raise CtlError(Exit.FAILED, sentence, "An image is compared with what has one.")
    if options.json != "off":
        rows = [
            {"subject": d.subject, "name": d.name, "before": d.before, "after": d.after}
            for d in found
        ]
        value = {"same": not found, "compared": compared, "differences": rows}
        print_json(value, options.json)
    elif found:
        heading, lines = ("SUBJECT", "WHAT", "A", "B"), [_row(each) for each in found]
        print(table(heading, lines, frozenset(), layout(options), elastic=(2, 3)))
    elif not options.quiet:
        print(f"The same: {', '.join(compared)}.")
    return Exit.DIFFERENT if found else Exit.OK


def _row(each: Difference) -> tuple[str, str, str, str]:
    sides = ("-" if side is None else printable(side) or '""' for side in (each.before, each.after))
    before, after = sides
    return each.subject, printable(each.name), before, after


def _side(name: str) -> Sides:
    if name == DAEMON:
        return _of_daemon()
    path = Path(name)
    try:
        if path.is_dir():
            if not (path / "sys").is_dir():
                raise CtlError(Exit.FAILED, f"{path_of(path)} is no tree: it has no sys/.", _HINT)
            return _of_tree(path)
        data = small.contents(path)
        if not data.startswith(MAGIC):
            return {"image": of_image(unpack(data[:_NEXT].translate(_ZEROS) + data[_NEXT:]))}
        with tree_of(path) as top:
            return _of_tree(top)
    except OSError as error:
        sentence = f"{path_of(path)} cannot be read: {words_of(error)}."
        code = Exit.DENIED if isinstance(error, PermissionError) else Exit.FAILED
        raise CtlError(code, sentence) from error
    except ImageError as error:
        sentence = f"{path_of(path)} is no recording, and no image: {error.reason}."
        raise CtlError(Exit.FAILED, sentence, _HINT) from error


def _of_tree(root: Path) -> Sides:
    source = Offline(root)
    verdict = of_verdict(source.assessment.state, source.assessment.findings)
    sides = {
        "verdict": verdict,
        "kernel": of_kernel(source.snapshot),
        "system": _of_system(root),
        "memory map": of_memory_map(source.memory_map()),
    }
    try:
        return {**sides, "image": of_image(compose(source.snapshot))}
    except ImageError:
        return sides  # without EFI; the verdict says so


def _of_system(root: Path) -> Facts:
    facts = {name: str(value) for name, value in asdict(read_system(root)).items()}
    try:
        return {**facts, "version": proc.text(root, "version")}
    except OSError:
        return facts  # a tree without proc/


def _of_daemon() -> Sides:
    client = Client()
    state = State(client.properties()["State"])
    sides = {
        "verdict": of_verdict(state, client.findings()),
        "memory map": of_memory_map(client.memory_map()),
    }
    if not state.has_image:
        return sides
    data, _ = client.image()
    return {**sides, "image": of_image(unpack(data))}
