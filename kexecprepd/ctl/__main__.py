# SPDX-License-Identifier: LGPL-2.1-or-later
"""kexecprepctl's command line."""

import argparse
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from pathlib import Path

from .. import __version__
from . import habits, streams
from .exits import CtlError, Exit, prefix_of_errors
from .terminal import fitted, is_terminal, width
from .usage import Parser

JSON_MODES = ("short", "pretty", "off")
"""The values of --json."""

Commands = dict[str, Callable[[argparse.Namespace], int]]
"""Each returns an `Exit`, but for run: that ends as what it has run."""

_PAGED = ("status", "check", "map", "findings", "decode", "diff", "entries")
"""What answers at length; and load's dry run."""

_BRIEF = ("load", "unload", "adopt")
"""What prints some words at its end. The others print as they go, or what is not for a screen."""

_CODES = """exit codes:
  0  all is well              4  the map is invalid
  1  it could not be done     5  there is nothing to hand over
  2  wrong usage              6  the daemon cannot be reached
  3  degraded                 7  access denied
                              8  kexec itself is refused here
                              9  the kernel would not take EFI over
                             10  there are differences
"""


def main(arguments: list[str] | None = None) -> int:
    """Run one command; the exit status is one of `Exit`.

    Without `arguments` it is a program, which has this process and its standard streams to itself.
    """
    if arguments is None:
        streams.prepare()
    try:
        code = _run(sys.argv[1:] if arguments is None else arguments)
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
    parser, of_commands = _parser()
    try:
        parser.require_known(arguments)
        options, unknown = parser.parse_known_args(arguments)
        if unknown:
            parser.refuse(unknown, options.command or "", of_commands)
    except SystemExit:
        sys.stdout.flush()  # what --help has printed
        raise
    name = options.command or "status"
    if name == "help":
        with _screen(options, page=True, fit=False):
            of_commands.get(options.topic, parser).print_help()
        return Exit.OK
    loads = name in ("entries", "load", "unload", "exec", "run")
    command = (_loading() if loads else _asking())[name]
    page = name in _PAGED or (name == "load" and options.dry_run)
    fit = options.json == "off" and not options.full
    with ExitStack() as stack:
        if page or name in _BRIEF:
            stack.enter_context(_screen(options, page=page, fit=fit))
        if options.root != Path("/"):
            from .record import replayed

            stack.enter_context(replayed(options))
        return command(options)


def _screen(options: argparse.Namespace, *, page: bool, fit: bool) -> AbstractContextManager[None]:
    if not is_terminal(sys.stdout):
        return nullcontext()
    from .pager import shown

    return shown(page=page and not options.no_pager, fit=fit)


def _asking() -> Commands:
    # Late, so that --help and wrong usage do not wait for GLib.
    from . import commands
    from .adopt import adopt
    from .check import check
    from .decode import explain
    from .diff import diff
    from .maps import show_map
    from .metrics import metrics
    from .record import record
    from .watch import watch

    return {
        "status": commands.status,
        "check": check,
        "map": show_map,
        "findings": commands.findings,
        "dump": commands.dump,
        "watch": watch,
        "record": record,
        "decode": explain,
        "diff": diff,
        "metrics": metrics,
        "adopt": adopt,
    }


def _loading() -> Commands:
    # Later still: the others do without the loader.
    from .entries import entries
    from .load import load
    from .run import run
    from .start import exec_loaded, unload

    return {
        "entries": entries,
        "load": load,
        "unload": unload,
        "exec": exec_loaded,
        "run": run,
    }


def _parser() -> tuple[Parser, dict[str, Parser]]:
    """The parser of everything, and those of the commands by their names."""
    parser = Parser(
        prog="kexecprepctl",
        description="Says whether EFI will survive a kexec here, shows what would be "
        "handed over,\nand loads the next kernel with it.",
        epilog=_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_common(parser, json="off", root=Path("/"), flag=False)
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    habits.answer(parser)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")

    of_commands: dict[str, Parser] = {}

    def add(name: str, summary: str) -> Parser:
        of_commands[name] = command = commands.add_parser(name, help=summary)
        # Without defaults of its own, or they would undo what stands before the command.
        missing = argparse.SUPPRESS
        _add_common(command, json=missing, root=missing, flag=missing)
        return command

    add("status", "the state in words (this is the default)")
    _add_check_options(add("check", "will EFI survive a kexec here, and if not, why not?"))
    drawn = add("map", "the runtime map beside the memory map (root)")
    drawn.add_argument(
        "--svg", type=_name, metavar="FILE", help="write a picture of them; - for standard output"
    )
    add("findings", "what validation noticed, and what to do (root)")
    dump = add("dump", "write the image to a file (root)")
    dump.add_argument("file", type=_name, metavar="FILE", help="where to; - for standard output")
    dump.add_argument(
        "--force",
        action="store_true",
        help="pack it here from sysfs, without the daemon, even if it is invalid",
    )
    add("watch", "print changes as they come")
    record = add("record", "save all that an answer depends on to a file, for --root (root)")
    record.add_argument("file", type=_name, metavar="FILE", help="where to; - for standard output")
    record.add_argument(
        "--redact",
        action="store_true",
        help="leave out the command line, the boot id, and what else tells this machine",
    )
    decode = add("decode", "explain an image, boot_params, a setup_data node, and the like")
    decode.add_argument("file", type=_name, metavar="FILE", help="what to explain, field by field")
    diff = add("diff", "what differs between two recordings, images, trees, or the daemon")
    diff.add_argument(
        "before", type=_name, metavar="A", help="a recording, an image, a folder, or: daemon"
    )
    diff.add_argument("after", type=_name, metavar="B", help="the other one")
    add("metrics", "print it all for Prometheus")
    add("entries", "what would boot here, and which by default (root)")
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
    topic = add("help", "print this, or a command's own help")
    topic.add_argument("topic", metavar="COMMAND", nargs="?", choices=[*of_commands])
    return parser, of_commands


def _name(text: str) -> str:
    """A file's name; an empty one would be the present directory's."""
    if not text:
        raise argparse.ArgumentTypeError("the name is empty")
    return text


def _path(text: str) -> Path:
    return Path(_name(text))


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
        "--no-efi", action="store_true", help="leave EFI out; the daemon is not asked then"
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


if __name__ == "__main__":
    sys.exit(main())
