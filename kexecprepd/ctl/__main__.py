# SPDX-License-Identifier: LGPL-2.1-or-later
"""kexecprepctl's command line."""

import argparse
import gc
import os
import sys
from collections.abc import Callable
from pathlib import Path

from .. import __version__
from .exits import CtlError, Exit, prefix_of_errors

JSON_MODES = ("short", "pretty", "off")
"""The values of --json."""

Command = Callable[[argparse.Namespace], int]
"""It returns an `Exit`, but for run: that ends as what it has run."""

_CODES = """exit codes:
  0  all is well              4  the map is invalid
  1  it could not be done     5  there is nothing to hand over
  2  wrong usage              6  the daemon cannot be reached
  3  degraded                 7  access denied
                              8  kexec itself is refused here
                              9  the kernel would not take EFI over
"""


def main(arguments: list[str] | None = None) -> int:
    """Run one command; the exit status is one of `Exit`."""
    options = _parser().parse_args(arguments)
    try:
        return _run(options)
    except CtlError as error:
        prefix = prefix_of_errors()
        print(f"{prefix}kexecprepctl: {error.sentence}", file=sys.stderr)
        if error.hint:
            print(f"{prefix}  {error.hint}", file=sys.stderr)
        return error.code
    except BrokenPipeError:
        # Whoever read our output has gone; keep Python from complaining about it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.FAILED
    except KeyboardInterrupt:
        return Exit.FAILED


def _run(options: argparse.Namespace) -> int:
    gc.disable()  # of what is imported, nothing is garbage
    command = _command(options.command or "status")
    gc.enable()
    code = command(options)
    sys.stdout.flush()
    return code


def _command(name: str) -> Command:
    # Late, and one alone: --help and wrong usage do not wait for GLib, nor anyone for the loader.
    match name:
        case "check":
            from .check import check as command
        case "watch":
            from .watch import watch as command
        case "metrics":
            from .metrics import metrics as command
        case "adopt":
            from .adopt import adopt as command
        case "load":
            from .load import load as command
        case "run":
            return _run_command()
        case "unload" | "exec":
            from . import start

            return start.unload if name == "unload" else start.exec_loaded
        case _:
            from . import commands

            return {
                "status": commands.status,
                "map": commands.show_map,
                "findings": commands.findings,
                "dump": commands.dump,
            }[name]
    return command


def _run_command() -> Command:
    from .run import run  # apart: it alone ends as another program does

    return run


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="kexecprepctl",
        description="Says whether EFI will survive a kexec here, shows what would be "
        "handed over,\nand loads the next kernel with it.",
        epilog=_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_common(parser, json="off", root=Path("/"))
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")

    def add(name: str, summary: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=summary)
        # Without defaults of its own, or they would undo what stands before the command.
        _add_common(command, json=argparse.SUPPRESS, root=argparse.SUPPRESS)
        return command

    add("status", "the state in words (this is the default)")
    _add_check_options(add("check", "will EFI survive a kexec here, and if not, why not?"))
    add("map", "the runtime map beside the memory map (root)")
    add("findings", "what validation noticed, and what to do (root)")
    dump = add("dump", "write the image to a file (root)")
    dump.add_argument("file", metavar="FILE", help="where to; - for standard output")
    dump.add_argument(
        "--force",
        action="store_true",
        help="pack it here from sysfs, without the daemon, even if it is invalid",
    )
    add("watch", "print changes as they come")
    add("metrics", "print it all for Prometheus")
    _add_load_options(add("load", "load a kernel for kexec, with EFI handed over (root)"))
    add("unload", "forget the kernel that is loaded (root)")
    add("exec", "shut down, and start the kernel that is loaded (root)")
    run = add("run", "run another loader, and have it find EFI and memory as they are (root)")
    run.add_argument(
        "arguments",
        metavar="COMMAND",
        nargs=argparse.REMAINDER,
        help="a program that loads a kernel, with its arguments; a -- before it is left out",
    )
    adopt = add("adopt", "have a unit's loader do so; without a unit list them (root)")
    adopt.add_argument("units", metavar="UNIT", nargs="*", help="a service that loads a kernel")
    adopt.add_argument("--undo", action="store_true", help="leave the units to themselves again")
    return parser


def _add_check_options(check: argparse.ArgumentParser) -> None:
    check.add_argument(
        "--kernel",
        type=Path,
        metavar="FILE",
        help="also say whether this bzImage or unified kernel image would take EFI over",
    )
    _add_cmdline_options(check)
    check.set_defaults(initrd=[], no_efi=False, no_receipt=False)


def _add_cmdline_options(command: argparse.ArgumentParser) -> None:
    cmdline = command.add_mutually_exclusive_group()
    cmdline.add_argument("--append", metavar="STRING", help="its command line")
    cmdline.add_argument(
        "--reuse-cmdline", action="store_true", help="give it the running kernel's command line"
    )


def _add_load_options(load: argparse.ArgumentParser) -> None:
    load.add_argument(
        "kernel",
        type=Path,
        metavar="KERNEL",
        nargs="?",
        help="a bzImage, or a unified kernel image",
    )
    load.add_argument(
        "--again",
        action="store_true",
        help="in place of KERNEL: load what was loaded before, for the memory as it is now",
    )
    load.add_argument(
        "--initrd",
        type=Path,
        metavar="FILE",
        action="append",
        default=[],
        help="its initrd; several are joined in their order",
    )
    _add_cmdline_options(load)
    load.add_argument(
        "--dry-run",
        action="store_true",
        help="load nothing, and print what would be placed where in memory",
    )
    load.add_argument(
        "--no-efi", action="store_true", help="leave EFI out; the daemon is not asked then"
    )
    load.add_argument(
        "--no-receipt",
        action="store_true",
        help="do not tell the next kernel what was handed over, and by whom",
    )


def _add_common(parser: argparse.ArgumentParser, json: str, root: Path | str) -> None:
    parser.add_argument(
        "--json",
        choices=JSON_MODES,
        default=json,
        help="print JSON: on one line, over many, or not at all (the default)",
    )
    parser.add_argument(
        "--root",
        type=Path,
        metavar="DIR",
        default=root,
        help="read the tree below DIR instead of asking the daemon (check, map, findings, dump, "
        "and load's dry run)",
    )


if __name__ == "__main__":
    sys.exit(main())
