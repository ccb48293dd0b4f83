# SPDX-License-Identifier: LGPL-2.1-or-later
"""The commands that ask once and need no more than the answer: findings, dump."""

import sys
from argparse import Namespace
from typing import TYPE_CHECKING, Any

from ..core.finding import Severity, State, kinds
from .client import Client
from .destination import Destination
from .exits import CtlError, Exit
from .here import HERE
from .output import finding_as_json, print_findings, print_json, wide
from .terminal import fitted, width

if TYPE_CHECKING:  # packing and the rules are for who asks for them
    from .offline import Offline


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
