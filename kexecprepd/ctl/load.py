# SPDX-License-Identifier: LGPL-2.1-or-later
"""The command that loads a kernel for kexec, or the same one again: load."""

import time
from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from ..core.errors import KexecprepdError
from ..loader import preflight, request
from ..loader.errors import LoadError, Refused
from ..loader.request import Loaded, Request
from ..loader.syscall import Call, in_turn, may_be_other, unload_any
from ..reading.clock import now
from ..reading.iomem import IomemError
from ..reading.kernel import read_system
from ..reading.surroundings import read_surroundings
from ..reading.tree import ReadError
from ..wire import journal
from ..wire.journal import Message
from .client import Client
from .exits import CtlError, Exit, failed
from .here import HERE
from .load_view import Report, print_report
from .loaded import STALE, is_stale, remembered, this_boot
from .output import layout, print_json, printable
from .uninterrupted import uninterrupted
from .wanted import Wanted, read_wanted, request_of
from .ways import Way, prepare, requests_of_firmware

_TRIES = 20
"""How often it is loaded anew because the memory changed meanwhile."""

_PAUSE = 0.5
"""Seconds between two of them, for memory to settle."""

_STILL_TRUE = "Nothing has changed: what is loaded is still true, and is left as it is."


@contextmanager
def in_words() -> Iterator[None]:
    """The one place where what keeps a kernel from being loaded becomes a CtlError."""
    try:
        yield
    except (LoadError, ReadError, IomemError) as error:
        raise failed(error) from error


@in_words()
def load(options: Namespace) -> Exit:
    """Load a kernel; with --dry-run say what would be loaded where, and load nothing."""
    _require_sense(options)
    if options.again:
        return _load_again(options)
    if options.ahead and (why := _why_not_ahead()):
        _say(options, why)
        return Exit.OK
    with read_wanted(options) as wanted:
        calls, obstacle = _calls(options)
        if options.dry_run:
            way = prepare(calls[0], wanted, options)
            report = Report(wanted, way, obstacle, loaded=False)
            print_report(report, options.json, layout(options))
            return Exit.OK
        if obstacle is not None:
            raise obstacle
        with request.alone(HERE):
            asked = request_of(wanted, options)
            report = _load(wanted, asked, calls, options, replaces_stale=False)
    print_report(report, options.json, quiet=options.quiet)
    return Exit.OK


def _require_sense(options: Namespace) -> None:
    if options.root != HERE and not options.dry_run:
        sentence = "A kernel is loaded on this system alone, not in the tree that --root names."
        raise CtlError(Exit.USAGE, sentence, "Add --dry-run, or leave --root out.")
    others = (options.kernel, options.entry, options.profile, options.append, *options.initrd)
    without = options.no_efi or options.no_receipt
    switches = (without, options.reuse_cmdline, options.dry_run, options.ahead)
    asked = any(each is not None for each in others) or any(switches)
    if options.again and (asked or options.syscall != Call.AUTO):
        sentence = "--again loads what was loaded before, as it was."
        raise CtlError(Exit.USAGE, sentence, "Leave out --again, or KERNEL and the other options.")
    if options.kernel is not None and options.entry is not None:
        sentence = "A boot entry has its kernel, and KERNEL is another."
        raise CtlError(Exit.USAGE, sentence, "Leave out KERNEL, or --entry.")
    if options.ahead and (options.kernel is not None or options.dry_run):
        sentence = "--ahead loads a boot entry, if nothing comes before it."
        raise CtlError(Exit.USAGE, sentence, "Leave out --ahead, or KERNEL and --dry-run.")
    if options.no_efi and options.syscall == Call.FILE:
        sentence = "kexec_file_load(2) has the kernel hand EFI over, whatever is asked for."
        raise CtlError(Exit.USAGE, sentence, "Leave out --no-efi, or --syscall=file.")


def _calls(options: Namespace) -> tuple[tuple[Call, ...], LoadError | None]:
    """The system calls to try in turn, and what will be in the way of the first one."""
    system = read_system(options.root)
    handover = read_surroundings(options.root, system).handover
    calls = in_turn(Call(options.syscall), system, handover=handover, efi=not options.no_efi)
    return calls, preflight.check(options.root, calls[0])


def _why_not_ahead() -> str | None:
    """What comes before a load ahead of time; None where nothing does."""
    if read_system(HERE).kernel_loaded:
        return "A kernel is loaded already, and is left as it is."
    waiting = requests_of_firmware(HERE)
    return f"Nothing is loaded. {waiting[0]}" if waiting else None


def _load_again(options: Namespace) -> Exit:
    """Make what is loaded true again, or unload it."""
    with request.alone(HERE):
        if not read_system(HERE).kernel_loaded:
            request.forget(HERE)
            _say(options, "No kernel is loaded: there is none to load again.")
            return Exit.OK
        before = remembered(HERE)
        if before is None:
            sentence = "What is loaded was not loaded by `kexecprepctl load` in this boot."
            raise CtlError(Exit.FAILED, sentence, "Name a KERNEL to load.")
        again = Namespace(**{**vars(options), **_as_options(before.request)})
        if again.ahead and (waiting := requests_of_firmware(HERE)):
            _unload()
            _say(options, f"The kernel that was loaded is unloaded. {waiting[0]}")
            return Exit.OK
        with ExitStack() as stack:
            try:
                still_true = _found_true(before)
                wanted = stack.enter_context(read_wanted(again))
                asked = request_of(wanted, again)
                # Reading takes its time, and systemd does not watch for changes until this has
                # ended. Of later ones the daemon tells when memory has settled: afterwards.
                still_true = still_true and asked == before.request and _found_true(before)
                calls, obstacle = _calls(again)
                if obstacle is not None and not still_true:
                    raise obstacle
            except KexecprepdError as error:
                raise _given_up(error) from error
            if not still_true:
                report = _load(wanted, asked, calls, again, replaces_stale=True)
    # Out of there: where this cannot be written, nothing is wrong with what is loaded.
    if still_true:
        _say(options, _STILL_TRUE)
    else:
        print_report(report, options.json, quiet=options.quiet)
    return Exit.OK


def _found_true(before: Loaded) -> bool:
    """Whether it can be told, and is so, that what a load depends on is as it was; where not, the
    journal is told.
    """
    try:
        true = not is_stale(HERE, before)
    except CtlError:
        true = False  # sysfs is changing at this moment, or says what it should not
    if not true:
        _tell_journal(before)
    return true


def _tell_journal(stale: Loaded) -> None:
    """An entry of its own, for whoever watches for it; on a terminal the outcome is enough."""
    if journal.is_standard_error():
        fields = {
            "MESSAGE": f"{STALE} It is loaded again.",
            "MESSAGE_ID": str(Message.STALE),
            "PRIORITY": "4",
            "SYSLOG_IDENTIFIER": "kexecprepctl",
            "KEXECPREPD_KERNEL": stale.request.kernel.path,
        }
        journal.send(HERE, fields)


def _as_options(asked: Request) -> dict[str, object]:
    by_entry = asked.default or asked.entry is not None
    return {
        "kernel": None if by_entry else Path(asked.kernel.path),
        "entry": asked.entry,
        "profile": asked.profile,
        "initrd": [Path(each.path) for each in asked.initrds],
        "append": asked.append,
        "reuse_cmdline": asked.reuse_cmdline,
        "no_efi": not asked.efi,
        "no_receipt": not asked.receipt,
        "syscall": asked.syscall,
        "ahead": asked.ahead,
    }


def _say(options: Namespace, sentence: str) -> None:
    if options.json != "off":
        print_json({"loaded": False, "notes": [sentence]}, options.json)
    elif not options.quiet:
        print(printable(sentence))


def _load(
    wanted: Wanted,
    asked: Request,
    calls: Sequence[Call],
    options: Namespace,
    *,
    replaces_stale: bool,
) -> Report:
    """Load until what it was loaded for is still so afterwards.

    Where that fails, a kernel that is no longer true does not stay: one that was loaded here and,
    with `replaces_stale`, the one before. Raises KexecprepdError.
    """
    must_go = replaces_stale
    sentence = f"The memory changed {_TRIES} times while the kernel was being loaded."
    hint = "Memory is being plugged or unplugged: try again when that has settled."
    changed = CtlError(Exit.FAILED, sentence, hint)
    try:
        why = changed
        for _ in range(_TRIES):
            for call in calls:
                way = prepare(call, wanted, options)
                loaded = _loaded(way, asked)
                try:
                    with uninterrupted():
                        way.load(wanted)
                        must_go = True
                        request.keep(HERE, loaded)
                    break
                except Refused as error:
                    if call is calls[-1] or not may_be_other(error):
                        raise
            try:
                if not is_stale(HERE, loaded):
                    return Report(wanted, way, None, loaded=True)
                why = changed
            except CtlError as error:  # sysfs is changing, or says what it should not
                why = error
            time.sleep(_PAUSE)
            if way.generation is not None:
                Client().refresh()
        raise why
    except KexecprepdError as error:
        if not must_go:
            raise
        raise _given_up(error) from error


def _loaded(way: Way, asked: Request) -> Loaded:
    return Loaded(
        boot_id=this_boot(HERE),
        efi=way.depends_on_image,
        syscall=way.call,
        handover_sha256=way.handover_sha256,
        generation=way.generation,
        loaded_at=now().realtime,
        request=asked,
    )


def _unload() -> None:
    """Unload what was loaded, and forget what was asked for. Raises LoadError."""
    with uninterrupted():
        unload_any()
        request.forget(HERE)


def _given_up(error: KexecprepdError) -> CtlError:
    """Unload what must not be started any more, and say so beside why it could not be helped."""
    first = error if isinstance(error, CtlError) else failed(error)
    try:
        _unload()
    except LoadError as second:
        rest = f"The kernel that is loaded is stale, and cannot be unloaded: {second.sentence}"
        return CtlError(first.code, f"{first.sentence} {rest}", "Do not start it: do not kexec.")
    rest = "The kernel that was loaded is stale, and has been unloaded."
    return CtlError(first.code, f"{first.sentence} {rest}", first.hint)
