# SPDX-License-Identifier: LGPL-2.1-or-later
"""The command that stays: prints changes as they come, until it is interrupted."""

import os
import signal
import sys
from argparse import Namespace
from datetime import datetime

from gi.repository import GLib

from ..reading.clock import now
from .client import Change, Client
from .exits import CtlError, Exit
from .here import require_here
from .output import coloured, print_json, wide
from .terminal import fitted, width


def watch(options: Namespace) -> Exit:
    """Print a line, or a JSON object, for each MapChanged."""
    require_here(options)
    return _Watch(options.json, quiet=options.quiet).run()


class _Watch:
    def __init__(self, json_mode: str, *, quiet: bool) -> None:
        self._json = json_mode
        self._quiet = quiet
        self._loop = GLib.MainLoop()
        self._failure: CtlError | None = None
        self._client = Client()
        self._client.on_lost(self._lost)
        self._client.on_owner(self._owner)
        self._client.on_change(self._change)

    def run(self) -> Exit:
        properties = self._client.properties()
        # Before it says so: who reads that may stop it at once. And so it ends, also where it waits
        # for somebody to read.
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) is not signal.SIG_IGN:  # as a shell has it for a job of `&`
                signal.signal(number, lambda *_: os._exit(Exit.OK))
        self._note(f"Watching, from generation {properties['Generation']} on.")
        self._loop.run()
        if self._failure is not None:
            raise self._failure
        return Exit.OK

    def _change(self, change: Change) -> None:
        try:
            properties = self._client.properties()
        except CtlError as error:  # it went away just now: what the signal said still counts
            self._note(error.sentence)
            properties = {"State": "unknown", "Reason": ""}
        state, moment = properties["State"], now().realtime
        try:
            if self._json != "off":
                print_json(
                    {
                        **wide("timestamp", moment),
                        **wide("generation", change.generation),
                        "sha256": change.sha256,
                        "changed": change.changed,
                        "state": state,
                        "reason": properties["Reason"],
                    },
                    self._json,
                )
            else:
                what = ", ".join(change.changed) or "readability of sysfs"
                digest = f"sha256 {change.sha256}" if change.sha256 else "no image"
                when = datetime.fromtimestamp(moment / 1_000_000).astimezone()
                line = (
                    f"{when:%a %Y-%m-%d %H:%M:%S %Z}  generation {change.generation}: "
                    f"{what} changed; {coloured(state)}, {digest}"
                )
                print(fitted(line, width(sys.stdout)), flush=True)
        except BrokenPipeError:
            self._loop.quit()
        except CtlError as error:  # GLib would print it, and go on
            self._fail(error)

    def _owner(self, there: bool) -> None:
        if there:
            self._note("The daemon is back.")
        else:
            self._note("The daemon has stopped; waiting for it.")

    def _lost(self, reason: str) -> None:
        self._fail(CtlError(Exit.UNREACHABLE, f"The connection to the bus is lost ({reason})."))

    def _fail(self, error: CtlError) -> None:
        self._failure = error
        self._loop.quit()

    def _note(self, sentence: str) -> None:
        if not self._quiet:
            print(sentence, file=sys.stderr, flush=True)
