# SPDX-License-Identifier: LGPL-2.1-or-later
"""The command that runs any loader on a copy of the view: run."""

import sys
from argparse import Namespace
from dataclasses import dataclass

from ..core.view import View, compose
from ..loader import namespace
from ..loader.errors import LoadError
from . import child, effect
from .client import Client
from .exits import CtlError, Exit, failed
from .here import HERE, require_here
from .output import note


@dataclass(frozen=True, slots=True)
class _Moment:
    """What the daemon would hand over at one moment."""

    handover_sha256: str
    view: View


def run(options: Namespace) -> int:
    """Run a command that loads a kernel, and end as it does; with 1 where that is out of date."""
    require_here(options)
    command = options.arguments[1:] if options.arguments[:1] == ["--"] else options.arguments
    if not command:
        hint = "For instance: `kexecprepctl run -- kexec -c -l /boot/vmlinuz --reuse-cmdline`."
        raise CtlError(Exit.USAGE, "run takes a command that loads a kernel.", hint)
    client = Client()
    before = _ask(client)
    for sentence in effect.notes(HERE, command):
        note(sentence, quiet=options.quiet)
    try:
        namespace.cover(before.view)
    except LoadError as error:
        raise failed(error) from error
    code = child.run(command)
    try:
        _require_unchanged(client, before)
    except CtlError as error:
        if code == Exit.OK:
            raise
        print(f"kexecprepctl: {error.sentence}\n  {error.hint}", file=sys.stderr)
    return code


def _ask(client: Client) -> _Moment:
    """What is true now, and not when memory was last seen to change. Raises CtlError."""
    client.refresh()
    image, memory_map, info = client.handover()
    return _Moment(info.handover_sha256, compose(memory_map, info.excluded_ranges, image))


def _require_unchanged(client: Client, before: _Moment) -> None:
    """Raises CtlError where what the command has loaded is not to be started."""
    try:
        after = _ask(client)
    except CtlError as error:
        sentence = f"It cannot be told whether the memory map has changed. {error.sentence}"
        hint = f"Do not start what was loaded. {error.hint}".rstrip()
        raise CtlError(Exit.FAILED, sentence, hint) from error
    if after.handover_sha256 != before.handover_sha256:
        sentence = (
            "What is to be handed over has changed meanwhile: what was loaded is out of date."
        )
        raise CtlError(Exit.FAILED, sentence, "Run it again.")
