# SPDX-License-Identifier: LGPL-2.1-or-later
"""The commands that ask once and print: status, findings, dump."""

import re
import sys
from argparse import Namespace
from typing import TYPE_CHECKING, Any

from ..core.finding import Severity, State, kinds
from ..reading.clock import now
from ..reading.firmware import read_firmware
from ..reading.kernel import System, read_origin, system_of
from . import loaded, origin_view
from .client import Client
from .destination import Destination
from .exits import CtlError, Exit
from .here import HERE
from .loaded import Standing
from .output import (
    coloured,
    finding_as_json,
    plural,
    print_findings,
    print_json,
    printable,
    unicode_wanted,
    wide,
)
from .terminal import fitted, width

if TYPE_CHECKING:  # packing and the rules are for who asks for them
    from .offline import Offline


def status(options: Namespace) -> Exit:
    """The daemon's properties, or those that follow from a tree, in words."""
    root, properties = options.root, source_of(options).properties()
    system = system_of(root)
    standing = loaded.look(root, system)
    if options.json != "off":
        print_json({**_in_json(properties), "loaded": loaded.as_json(standing)}, options.json)
        return Exit.OK
    origin = origin_view.origin_of(properties) if root == HERE else read_origin(root)
    lines = {
        **_of_map(properties),
        "Started by": origin_view.as_text(origin, properties, read_firmware(root), now().realtime),
        "Loaded": _kernel(system, standing),
        **_of_daemon(properties),
    }
    for name, value in lines.items():
        print(f"{name:>10}: {value}")
    if standing and standing.stale:
        print(f"\n{coloured('warning')}: {loaded.STALE}\n    {loaded.AGAIN}")
    return Exit.OK


def _of_map(properties: dict[str, Any]) -> dict[str, str]:
    digest = properties["Sha256"]
    regions = plural(properties["RegionCount"], "region")
    counts = (
        plural(properties["ErrorCount"], "error"),
        plural(properties["WarningCount"], "warning"),
    )
    lines = {
        "State": coloured(properties["State"]),
        "Reason": printable(properties["Reason"], unicode=unicode_wanted()),
        "Image": f"{regions}, sha256 {digest}" if digest else "none",
        "Findings": ", ".join(counts),
    }
    if "Generation" in properties:
        from datetime import datetime

        since = datetime.fromtimestamp(properties["SnapshotTimestamp"] / 1_000_000).astimezone()
        when = f"{since:%a %Y-%m-%d %H:%M:%S %Z}"
        lines["Generation"] = f"{properties['Generation']}, since {when}"
    return lines


def _of_daemon(properties: dict[str, Any]) -> dict[str, str]:
    if "Version" not in properties:
        return {}
    version = f"kexecprepd {properties['Version']}"
    return {"Boot ID": properties["BootID"], "Daemon": version}


def _kernel(system: System, standing: Standing | None) -> str:
    if standing is not None:
        return printable(loaded.as_text(standing))
    return "unknown" if system.is_empty is None else "no"


def findings(options: Namespace) -> Exit:
    """What validation noticed, with what to do and the numbers."""
    found = source_of(options).findings()
    if options.json != "off":
        print_json({"findings": [finding_as_json(finding) for finding in found]}, options.json)
        return Exit.OK
    if not found:
        _note("Nothing was found.", options)
    print_findings(found)
    return Exit.OK


def dump(options: Namespace) -> Exit:
    """The image into a file: the daemon's, or with --force one packed here and now."""
    destination = Destination(options.file, options.json)
    here = options.force or options.root != HERE
    data, about = _packed_here(options) if here else _served()
    destination.write(data)
    if destination.is_stdout:
        return Exit.OK
    about = {"file": options.file, "size": len(data), **about}
    if options.json != "off":
        print_json(about, options.json)
    elif not options.quiet:
        told = f"{options.file}: {len(data)} bytes, sha256 {about['sha256']}"
        print(fitted(told, width(sys.stdout)))
    return Exit.OK


def source_of(options: Namespace) -> "Client | Offline":
    """The daemon, or the tree that --root names."""
    if options.root == HERE:
        return Client()
    from .offline import Offline

    return Offline(options.root)


_WIDE = ("generation", "snapshot-timestamp", "snapshot-timestamp-monotonic")
"""Properties of type t."""


def _in_json(properties: dict[str, Any]) -> dict[str, Any]:
    """The properties as members: BootID is `boot-id`."""
    members: dict[str, Any] = {}
    for name, value in properties.items():
        member = re.sub("(?<=[a-z0-9])(?=[A-Z])", "-", name).lower()
        members |= wide(member, value) if member in _WIDE else {member: value}
    if "Receipt" in properties:
        members["receipt"] = origin_view.receipt_as_json(properties["Receipt"])
    return members


def _served() -> tuple[bytes, dict[str, Any]]:
    data, info = Client().image()
    told = info.to_json()
    about = {name: told[name] for name in ("sha256", "state", "region-count")}
    return data, {**about, **wide("generation", info.generation)}


def _packed_here(options: Namespace) -> tuple[bytes, dict[str, Any]]:
    from ..core.image import sha256
    from .offline import Offline

    offline = Offline(options.root)
    data, assessment = offline.packed(), offline.assessment
    if not assessment.state.has_image and not options.force:
        unsupported = assessment.state is State.UNSUPPORTED
        code = Exit.UNSUPPORTED if unsupported else Exit.INVALID
        raise CtlError(code, assessment.reason, "Use --force to pack it all the same.")
    if not assessment.state.has_image:
        _note(f"Packed all the same, though it is {assessment.state}: {assessment.reason}", options)
    for kind in kinds(assessment.findings):
        if kind.first.severity is not Severity.INFO:
            _note(f"{kind.first.severity}: {kind.message} [{kind.first.code}]", options)
    regions = len(offline.snapshot.runtime_regions)
    return data, {"sha256": sha256(data), "state": assessment.state, "region-count": regions}


def _note(sentence: str, options: Namespace) -> None:
    if not options.quiet:
        print(fitted(sentence, width(sys.stderr)), file=sys.stderr)
