# SPDX-License-Identifier: LGPL-2.1-or-later
"""kexecprepctl's command line: its commands and their options."""

import argparse
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from .. import __version__
from . import habits
from .here import HERE
from .terminal import is_terminal
from .usage import Parser

JSON_MODES = ("short", "pretty", "off")
"""The values of --json."""

_CODES = """exit codes:
  0  all is well              4  the map is invalid
  1  it could not be done     5  there is nothing to hand over
  2  wrong usage              6  the daemon cannot be reached
  3  degraded                 7  access denied
                              8  kexec itself is refused here
                              9  the kernel would not take EFI over
                             10  there are differences
"""


def parser_for(words: Iterable[str]) -> tuple[Parser, dict[str, Parser]]:
    """The parser of everything, and those of the commands by their names.

    Only commands that are among the words have options: to make all takes longer than to parse.
    """
    parser = Parser(
        prog="kexecprepctl",
        description="Says whether EFI will survive a kexec here, shows what would be "
        "handed over,\nand loads the next kernel with it.",
        epilog=_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_common(parser, json="off", root=HERE, flag=False)
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    habits.answer(parser)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")

    of_commands: dict[str, Parser] = {}

    def add(name: str, summary: str, *own: Callable[[Parser], object]) -> None:
        of_commands[name] = command = commands.add_parser(name, help=summary)
        if name not in wanted:
            return
        # Without defaults of its own, or they would undo what stands before the command.
        missing = argparse.SUPPRESS
        _add_common(command, json=missing, root=missing, flag=missing)
        for add_to in own:
            add_to(command)

    wanted = frozenset(words)
    add("status", "the state in words (this is the default)")
    add("check", "will EFI survive a kexec here, and if not, why not?", _add_check_options)
    add("map", "the runtime map beside the memory map (root)", _add_map_options)
    add("findings", "what validation noticed, and what to do (root)")
    add("dump", "write the image to a file (root)", _add_destination, _add_dump_options)
    add("watch", "print changes as they come")
    summary = "save all that an answer depends on to a file, for --root (root)"
    add("record", summary, _add_destination, _add_record_options)
    summary = "explain an image, boot_params, a setup_data node, and the like"
    add("decode", summary, _add_decode_options)
    summary = "what differs between two recordings, images, trees, or the daemon"
    add("diff", summary, _add_diff_options)
    add("metrics", "print it all for Prometheus")
    add("entries", "what would boot here, and which by default (root)")
    add("load", "load a kernel for kexec, with EFI handed over (root)", _add_load_options)
    add("unload", "forget the kernel that is loaded (root)")
    add("exec", "shut down, and start the kernel that is loaded (root)")
    summary = "run another loader, and have it find EFI and memory as they are (root)"
    add("run", summary, _add_run_options)
    summary = "have a unit's loader do so; without a unit list them (root)"
    add("adopt", summary, _add_adopt_options)
    add(
        "help",
        "print this, or a command's own help",
        lambda command: command.add_argument(
            "topic", metavar="COMMAND", nargs="?", choices=[*of_commands]
        ),
    )
    return parser, of_commands


def _name(text: str) -> str:
    """A file's name; an empty one would be the present directory's."""
    if not text:
        raise argparse.ArgumentTypeError("the name is empty")
    return text


def _path(text: str) -> Path:
    return Path(_name(text))


def _add_destination(command: Parser) -> None:
    command.add_argument("file", type=_name, metavar="FILE", help="where to; - for standard output")


def _add_map_options(drawn: Parser) -> None:
    drawn.add_argument(
        "--svg", type=_name, metavar="FILE", help="write a picture of them; - for standard output"
    )


def _add_dump_options(dump: Parser) -> None:
    dump.add_argument(
        "--force",
        action="store_true",
        help="pack it here from sysfs, without the daemon, even if it is invalid",
    )


def _add_record_options(record: Parser) -> None:
    record.add_argument(
        "--redact",
        action="store_true",
        help="leave out the command line, the boot id, and what else tells this machine",
    )


def _add_decode_options(decode: Parser) -> None:
    decode.add_argument("file", type=_name, metavar="FILE", help="what to explain, field by field")


def _add_diff_options(diff: Parser) -> None:
    diff.add_argument(
        "before", type=_name, metavar="A", help="a recording, an image, a folder, or: daemon"
    )
    diff.add_argument("after", type=_name, metavar="B", help="the other one")


def _add_run_options(run: Parser) -> None:
    run.add_argument(
        "arguments",
        metavar="COMMAND",
        nargs=argparse.REMAINDER,
        help="a program that loads a kernel, with its arguments; a -- before it is left out",
    )


def _add_adopt_options(adopt: Parser) -> None:
    adopt.add_argument("units", metavar="UNIT", nargs="*", help="a service that loads a kernel")
    adopt.add_argument("--undo", action="store_true", help="leave the units to themselves again")


def _add_check_options(check: Parser) -> None:
    check.add_argument(
        "--kernel",
        type=_path,
        metavar="FILE",
        help="also say whether this bzImage or unified kernel image would take EFI over",
    )
    _add_cmdline_options(check)
    check.set_defaults(
        initrd=[],
        entry=None,
        profile=None,
        no_efi=False,
        no_receipt=False,
        syscall="auto",
        ahead=False,
    )


def _add_cmdline_options(command: Parser) -> None:
    command.add_argument(
        "--append",
        metavar="STRING",
        help="its command line; what is added to a boot entry's, or to the one that is reused",
    )
    command.add_argument(
        "--reuse-cmdline", action="store_true", help="give it the running kernel's command line"
    )


def _add_load_options(load: Parser) -> None:
    load.add_argument(
        "kernel",
        type=_path,
        metavar="KERNEL",
        nargs="?",
        help="a bzImage, or a unified kernel image; without one, what would boot by default",
    )
    load.add_argument(
        "--entry", metavar="ID", help="in place of KERNEL: a boot entry, see `entries`"
    )
    load.add_argument(
        "--profile",
        metavar="N|ID",
        help="of a unified kernel image with several profiles, another one than the first",
    )
    load.add_argument(
        "--syscall",
        choices=("auto", "load", "file"),
        default="auto",
        help="kexec_load(2), kexec_file_load(2), or what is allowed here (the default)",
    )
    load.add_argument(
        "--ahead",
        action="store_true",
        help="load a boot entry unless a kernel is loaded, or a request waits for the firmware",
    )
    load.add_argument(
        "--again",
        action="store_true",
        help="in place of KERNEL: load what was loaded before, for the memory as it is now",
    )
    load.add_argument(
        "--initrd",
        type=_path,
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
        "--no-efi", action="store_true", help="leave EFI out; the daemon need not run then"
    )
    load.add_argument(
        "--no-receipt",
        action="store_true",
        help="do not tell the next kernel what was handed over, and by whom",
    )
    habits.answer(load)


def _add_common(parser: Parser, json: str, root: Path | str, flag: bool | str) -> None:
    parser.add_argument(
        "--json",
        choices=JSON_MODES,
        default=json,
        help="print JSON: on one line, over many, or not at all (the default)",
    )
    parser.add_argument(
        "-j",
        dest="json",
        action="store_const",
        const="pretty" if is_terminal(sys.stdout) else "short",
        default=json,
        help="--json=pretty on a terminal, and else --json=short",
    )
    for names, meaning in (
        (("--full",), "cut no table to the width of the terminal, and break no lines"),
        (("--no-pager",), "start no pager"),
        (("--no-legend",), "leave the headings of tables out"),
        (("-q", "--quiet"), "print no notes, nor what was done; with check no answer either"),
    ):
        parser.add_argument(*names, action="store_true", default=flag, help=meaning)
    parser.add_argument(
        "--root",
        type=_path,
        metavar="DIR",
        default=root,
        help="read the tree below DIR, or a file of `record`, instead of asking the daemon "
        "(status, check, map, findings, dump, record, entries, and load's dry run)",
    )
