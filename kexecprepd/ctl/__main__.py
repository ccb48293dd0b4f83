# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs one command of kexecprepctl, and says how it ended."""

import argparse
import gc
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext

from . import streams
from .exits import CtlError, Exit, prefix_of_errors
from .here import HERE
from .options import parser_for
from .terminal import fitted, is_terminal, width

Command = Callable[[argparse.Namespace], int]
"""It returns an `Exit`, but for run: that ends as what it has run."""

_PAGED = ("status", "check", "map", "findings", "decode", "diff", "entries")
"""What answers at length; and load's dry run."""

_BRIEF = ("load", "unload", "adopt")
"""What prints some words at its end. The others print as they go, or what is not for a screen."""


def main(arguments: list[str] | None = None) -> int:
    """Run one command; the exit status is one of `Exit`.

    Without `arguments` it is a program, which has this process and its standard streams to itself.
    """
    if arguments is None:
        gc.disable()  # of what is imported, nothing is garbage
        streams.prepare()
        streams.end(_answered(sys.argv[1:]))
    return _answered(arguments)


def _answered(arguments: list[str]) -> int:
    try:
        code = _run(arguments)
        sys.stdout.flush()
        return code
    except CtlError as error:
        return _tell(error)
    except BrokenPipeError:
        # Whoever read our output has gone, and that is all.
        streams.finish()
        return Exit.FAILED
    except OSError as error:  # of a file that nothing else was expected of
        return _tell(_unexpected(error))
    except KeyboardInterrupt:
        return Exit.FAILED


def _unexpected(error: OSError) -> CtlError:
    from ..reading.tree import printable, words_of

    where = "" if error.filename is None else f"{printable(str(error.filename))}: "
    sentence = f"It could not be done: {where}{words_of(error)}."
    if isinstance(error, PermissionError):
        return CtlError(Exit.DENIED, sentence, "Use sudo.")
    return CtlError(Exit.FAILED, sentence)


def _tell(error: CtlError) -> Exit:
    from .output import printable  # late: --help does without

    prefix, columns = prefix_of_errors(), width(sys.stderr)
    for text in filter(None, (f"kexecprepctl: {error.sentence}", f"  {error.hint}".rstrip())):
        shown = "\n".join(printable(line, unicode=True) for line in text.split("\n"))
        print(fitted(f"{prefix}{shown}", columns), file=sys.stderr)
    streams.finish()
    return error.code


def _run(arguments: list[str]) -> int:
    parser, of_commands = parser_for(arguments)
    try:
        parser.require_known(arguments)
        options, unknown = parser.parse_known_args(arguments)
        if unknown:
            parser.refuse(unknown, options.command or "", parser_for([*of_commands])[1])
    except SystemExit:
        sys.stdout.flush()  # what --help has printed
        raise
    name = options.command or "status"
    if name == "help":
        with _screen(options, page=True, fit=False):
            of_commands.get(options.topic, parser).print_help()
        return Exit.OK
    command = _command(name)
    if not gc.isenabled():  # of a program; else this is somebody's process, and theirs to collect
        gc.freeze()
        gc.enable()
    page = name in _PAGED or (name == "load" and options.dry_run)
    fit = options.json == "off" and not options.full
    with ExitStack() as stack:
        if page or name in _BRIEF:
            stack.enter_context(_screen(options, page=page, fit=fit))
        if options.root != HERE:
            from .record import replayed

            stack.enter_context(replayed(options))
        return command(options)


def _screen(options: argparse.Namespace, *, page: bool, fit: bool) -> AbstractContextManager[None]:
    if not is_terminal(sys.stdout):
        return nullcontext()
    from .pager import shown

    return shown(page=page and not options.no_pager, fit=fit)


def _command(name: str) -> Command:
    # Late, and one alone: --help and wrong usage do not wait for GLib, nor anyone for the loader.
    match name:
        case "status":
            from .status import status as command
        case "check":
            from .check import check as command
        case "map":
            from .maps import show_map as command
        case "watch":
            from .watch import watch as command
        case "record":
            from .record import record as command
        case "decode":
            from .decode import explain as command
        case "diff":
            from .diff import diff as command
        case "metrics":
            from .metrics import metrics as command
        case "adopt":
            from .adopt import adopt as command
        case "entries":
            from .entries import entries as command
        case "load":
            from .load import load as command
        case "run":
            return _run_command()
        case "unload" | "exec":
            from . import start

            return start.unload if name == "unload" else start.exec_loaded
        case _:
            from . import commands

            return commands.findings if name == "findings" else commands.dump
    return command


def _run_command() -> Command:
    from .run import run  # apart: it alone ends as another program does

    return run


if __name__ == "__main__":
    sys.exit(main())
