# SPDX-License-Identifier: LGPL-2.1-or-later
"""The command that says how things stand, the map's and the machine's: status."""

import re
from argparse import Namespace
from typing import Any

from ..reading.clock import now
from ..reading.firmware import read_firmware
from ..reading.kernel import System, read_origin, system_of
from . import loaded, origin_view
from .commands import source_of
from .exits import Exit
from .here import HERE
from .loaded import Standing
from .output import coloured, plural, print_json, printable, unicode_wanted, wide

_WIDE = ("generation", "snapshot-timestamp", "snapshot-timestamp-monotonic")
"""Properties of type t."""


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


def _in_json(properties: dict[str, Any]) -> dict[str, Any]:
    """The properties as members: BootID is `boot-id`."""
    members: dict[str, Any] = {}
    for name, value in properties.items():
        member = re.sub("(?<=[a-z0-9])(?=[A-Z])", "-", name).lower()
        members |= wide(member, value) if member in _WIDE else {member: value}
    if "Receipt" in properties:
        members["receipt"] = origin_view.receipt_as_json(properties["Receipt"])
    return members
