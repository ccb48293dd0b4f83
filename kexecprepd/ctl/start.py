# SPDX-License-Identifier: LGPL-2.1-or-later
"""The commands for a kernel that is loaded: forget it, or start it: unload, exec."""

import os
import signal
import sys
from argparse import Namespace

from ..loader import preflight, request
from ..loader.syscall import Call, unload_any
from ..reading.kernel import System, read_system
from ..reading.tree import words_of
from .exits import CtlError, Exit
from .here import HERE, require_here
from .load import in_words
from .loaded import AGAIN, STALE, is_stale, remembered
from .output import note, print_json
from .uninterrupted import uninterrupted
from .ways import requests_of_firmware

_UNLOADED = {
    False: "The kernel that was loaded is unloaded.",
    True: "No kernel was loaded.",
    None: "Whatever was loaded is unloaded: /sys does not tell whether a kernel was.",
}


@in_words()
def unload(options: Namespace) -> Exit:
    """Forget the kernel that is loaded, if there is one, and what was asked for."""
    require_here(options)
    is_empty = read_system(HERE).is_empty
    obstacle = None if is_empty else preflight.check(HERE, Call.FILE)
    if obstacle is not None:
        raise obstacle
    if not is_empty or request.path_of(HERE).parent.exists():
        with request.alone(HERE), uninterrupted():
            if not is_empty:
                unload_any()
            request.forget(HERE)
    if options.json != "off":
        print_json({"unloaded": None if is_empty is None else not is_empty}, options.json)
    elif not options.quiet:
        print(_UNLOADED[is_empty])
    return Exit.OK


@in_words()
def exec_loaded(options: Namespace) -> Exit:
    """Have systemd shut down, and start the kernel that is loaded, unless that is stale."""
    require_here(options)
    # A load that is under way, also one that systemd has begun for a change, is waited for.
    with request.alone(HERE):
        system = read_system(HERE)
        _require_true(system)
    for sentence in requests_of_firmware(HERE):
        note(sentence, quiet=options.quiet)
    sys.stdout.flush()
    # Python ignores it, and what is run in its place would go on ignoring it.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        os.execvp("systemctl", ["systemctl", "kexec"])
    except OSError as error:
        sentence = f"systemctl cannot be run: {words_of(error)}."
        hint = "`kexec -e` starts the kernel at once, without shutting anything down."
        raise CtlError(Exit.FAILED, sentence, hint) from error


def _require_true(system: System) -> None:
    if system.is_empty is None:
        sentence = "Whether a kernel is loaded cannot be told: /sys does not say."
        raise CtlError(Exit.FAILED, sentence, "Mount /sys.")
    if system.is_empty:
        request.forget(HERE)
        hint = "Load one first: `kexecprepctl load KERNEL`."
        raise CtlError(Exit.FAILED, "No kernel is loaded, so there is none to start.", hint)
    loaded = remembered(HERE)
    if loaded is not None and is_stale(HERE, loaded):
        raise CtlError(Exit.FAILED, STALE, AGAIN)
