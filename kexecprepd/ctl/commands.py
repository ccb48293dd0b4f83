# SPDX-License-Identifier: LGPL-2.1-or-later
"""The commands that ask once and print: status, map, findings, dump."""

import os
import sys
from argparse import Namespace
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.finding import Severity, State
from ..reading.clock import now
from ..reading.firmware import read_firmware
from ..reading.kernel import read_system
from ..reading.tree import words_of
from . import loaded, origin_view
from .client import Client
from .exits import CtlError, Exit
from .output import coloured, plural, print_findings, print_json, printable

if TYPE_CHECKING:  # packing and the rules are for who asks for them
    from .offline import Offline

_HERE = Path("/")


def status(options: Namespace) -> Exit:
    """The daemon's properties, in words."""
    properties = Client().properties()
    standing = loaded.look(_HERE, read_system(_HERE))
    if options.json != "off":
        print_json({**properties, "loaded": loaded.as_json(standing)}, options.json)
        return Exit.OK
    from datetime import datetime

    since = datetime.fromtimestamp(properties["SnapshotTimestamp"] / 1_000_000).astimezone()
    digest = properties["Sha256"]
    regions = plural(properties["RegionCount"], "region")
    counts = (
        plural(properties["ErrorCount"], "error"),
        plural(properties["WarningCount"], "warning"),
    )
    lines = {
        "State": coloured(properties["State"]),
        "Reason": properties["Reason"],
        "Image": f"{regions}, sha256 {digest}" if digest else "none",
        "Findings": ", ".join(counts),
        "Generation": f"{properties['Generation']}, since {since:%a %Y-%m-%d %H:%M:%S %Z}",
        "Started by": origin_view.as_text(
            origin_view.origin_of(properties), properties, read_firmware(_HERE), now().realtime
        ),
        "Loaded": printable(loaded.as_text(standing)) if standing else "no",
        "Boot ID": properties["BootID"],
        "Daemon": f"kexecprepd {properties['Version']}",
    }
    for name, value in lines.items():
        print(f"{name:>10}: {value}")
    if standing and standing.stale:
        print(f"\n{coloured('warning')}: {loaded.STALE}\n    {loaded.AGAIN}")
    return Exit.OK


def show_map(options: Namespace) -> Exit:
    """The runtime map beside the memory map."""
    from . import map_view

    source = source_of(options)
    regions, ranges = source.runtime_map(), source.memory_map()
    if options.json != "off":
        print_json(map_view.as_json(regions, ranges), options.json)
    elif regions or ranges:
        print(map_view.as_table(regions, ranges))
        if not regions:
            _note("The kernel has no runtime map; `kexecprepctl status` says why.")
    else:
        _note("The kernel shows neither a runtime map nor a memory map.")
    return Exit.OK


def findings(options: Namespace) -> Exit:
    """What validation noticed, with what to do and the numbers."""
    found = source_of(options).findings()
    if options.json != "off":
        print_json([asdict(finding) for finding in found], options.json)
        return Exit.OK
    if not found:
        _note("Nothing was found.")
    print_findings(found)
    return Exit.OK


def dump(options: Namespace) -> Exit:
    """The image into a file: the daemon's, or with --force one packed here and now."""
    if options.file == "-" and options.json != "off":
        sentence = "The image and JSON cannot both go to standard output."
        raise CtlError(Exit.USAGE, sentence, "Name a file, or leave --json out.")
    if options.file == "-" and sys.stdout.isatty():
        sentence = "The image is binary, and will not be written to a terminal."
        raise CtlError(Exit.USAGE, sentence, "Redirect standard output, or name a file.")
    here = options.force or options.root != _HERE
    data, about = _packed_here(options.root, options.force) if here else _served()
    if options.file == "-":
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return Exit.OK
    _write(Path(options.file), data)
    about = {"file": options.file, "size": len(data), **about}
    if options.json != "off":
        print_json(about, options.json)
    else:
        print(f"{options.file}: {len(data)} bytes, sha256 {about['sha256']}")
    return Exit.OK


def source_of(options: Namespace) -> "Client | Offline":
    """The daemon, or the tree that --root names."""
    if options.root == _HERE:
        return Client()
    from .offline import Offline

    return Offline(options.root)


def _served() -> tuple[bytes, dict[str, Any]]:
    data, info = Client().image()
    names = ("sha256", "generation", "state", "region-count")
    return data, {name: info.to_json()[name] for name in names}


def _packed_here(root: Path, force: bool) -> tuple[bytes, dict[str, Any]]:
    from ..core.image import sha256
    from .offline import Offline

    offline = Offline(root)
    data, assessment = offline.packed(), offline.assessment
    if not assessment.state.has_image and not force:
        unsupported = assessment.state is State.UNSUPPORTED
        code = Exit.UNSUPPORTED if unsupported else Exit.INVALID
        raise CtlError(code, assessment.reason, "Use --force to pack it all the same.")
    if not assessment.state.has_image:
        _note(f"Packed all the same, though it is {assessment.state}: {assessment.reason}")
    for finding in assessment.findings:
        if finding.severity is not Severity.INFO:
            _note(f"{finding.severity}: {finding.message} [{finding.code}]")
    regions = len(offline.snapshot.runtime_regions)
    return data, {"sha256": sha256(data), "state": assessment.state, "region-count": regions}


def _write(path: Path, data: bytes) -> None:
    """Write a file that only its owner may read; an old one stays whole until the new one is."""
    import tempfile

    try:
        if path.exists() and not path.is_file():
            path.write_bytes(data)  # a device or a pipe cannot be replaced
            return
        fd, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with open(fd, "wb") as file:
                file.write(data)
            os.replace(name, path)
        except OSError:
            os.unlink(name)
            raise
    except OSError as error:
        sentence = f"{path} cannot be written: {words_of(error)}."
        raise CtlError(Exit.FAILED, sentence) from error


def _note(sentence: str) -> None:
    print(sentence, file=sys.stderr)
