# SPDX-License-Identifier: LGPL-2.1-or-later
"""The command that loads a kernel for kexec, or the same one again: load."""

import os
import signal
import time
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .. import __version__
from ..core.errors import KexecprepdError
from ..core.facilities import present
from ..core.receipt import Receipt
from ..loader import kexec, preflight, request
from ..loader.errors import LoadError
from ..loader.plan import SEED_SIZE, Plan, draft, finish
from ..loader.request import Loaded, Request
from ..reading.clock import boot_id, now
from ..reading.firmware import read_firmware
from ..reading.iomem import IomemError
from ..reading.kernel import read_origin, read_system
from ..reading.tree import ReadError, words_of
from ..wire import journal
from ..wire.journal import Message
from .client import Client
from .exits import CtlError, Exit, failed
from .load_source import Image, Source, of_daemon, of_tree
from .load_view import Report, print_report
from .loaded import STALE, is_stale, remembered
from .output import print_json, printable
from .wanted import Wanted, read_wanted

_TRIES = 20
"""How often it is loaded anew because the memory changed meanwhile."""

_PAUSE = 0.5
"""Seconds between two of them, for memory to settle."""

_ROOT = Path("/")
_STILL_TRUE = "Nothing has changed: what is loaded is still true, and is left as it is."


@contextmanager
def in_words() -> Iterator[None]:
    """The one place where what keeps a kernel from being loaded becomes a CtlError."""
    try:
        yield
    except (LoadError, ReadError, IomemError) as error:
        raise failed(error) from error


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Have no signal come between what is loaded and what is remembered of it.

    What comes meanwhile comes afterwards. A mask would not do: the kernel gives a signal to any
    thread that takes it, and GDBus' own does.
    """
    came: list[int] = []
    before = {
        number: signal.signal(number, lambda number, _frame: came.append(number))
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for each in dict.fromkeys(came):
            signal.raise_signal(each)


@in_words()
def load(options: Namespace) -> Exit:
    """Load a kernel; with --dry-run say what would be loaded where, and load nothing."""
    _require_sense(options)
    if options.again:
        return _load_again(options)
    wanted = read_wanted(options)
    obstacle = preflight.check(options.root)
    if options.dry_run:
        source, plan = _plan(wanted, options)
        print_report(_report(options, wanted, source, plan, obstacle=obstacle), options.json)
        return Exit.OK
    if obstacle is not None:
        raise obstacle
    with request.alone(_ROOT):
        report = _load(wanted, options, replaces_stale=False)
    print_report(report, options.json)
    return Exit.OK


def _require_sense(options: Namespace) -> None:
    if options.root != _ROOT and not options.dry_run:
        sentence = "A kernel is loaded on this system alone, not in the tree that --root names."
        raise CtlError(Exit.USAGE, sentence, "Add --dry-run, or leave --root out.")
    others = (options.kernel, options.append, *options.initrd)
    flags = (options.reuse_cmdline, options.dry_run, options.no_efi, options.no_receipt)
    others_set = any(flags)
    if options.again and (others_set or any(each is not None for each in others)):
        sentence = "--again loads what was loaded before, as it was."
        raise CtlError(Exit.USAGE, sentence, "Leave out --again, or KERNEL and the other options.")
    if not options.again and options.kernel is None:
        sentence = "There is no kernel named to load."
        raise CtlError(Exit.USAGE, sentence, "Name a KERNEL, or give --again.")


def _load_again(options: Namespace) -> Exit:
    """Make what is loaded true again, or unload it."""
    with request.alone(_ROOT):
        if not read_system(_ROOT).kernel_loaded:
            request.forget(_ROOT)
            _say(options, "No kernel is loaded: there is none to load again.")
            return Exit.OK
        before = remembered(_ROOT)
        if before is None:
            sentence = "What is loaded was not loaded by `kexecprepctl load` in this boot."
            raise CtlError(Exit.FAILED, sentence, "Name a KERNEL to load.")
        again = Namespace(**{**vars(options), **_as_options(before.request)})
        try:
            true = _is_true(before)
            if not true:
                _tell_journal(before)
            wanted = read_wanted(again)
            if wanted.asked == before.request and true:
                _say(options, _STILL_TRUE)
                return Exit.OK
            obstacle = preflight.check(_ROOT)
            if obstacle is not None:
                raise obstacle
        except KexecprepdError as error:
            raise _given_up(error) from error
        report = _load(wanted, again, replaces_stale=True)
    print_report(report, options.json)
    return Exit.OK


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
        journal.send(_ROOT, fields)


def _as_options(asked: Request) -> dict[str, object]:
    return {
        "kernel": Path(asked.kernel.path),
        "initrd": [Path(each.path) for each in asked.initrds],
        "append": asked.append,
        "reuse_cmdline": asked.reuse_cmdline,
        "no_efi": not asked.efi,
        "no_receipt": not asked.receipt,
    }


def _say(options: Namespace, sentence: str) -> None:
    if options.json != "off":
        print_json({"loaded": False, "notes": [sentence]}, options.json)
    else:
        print(printable(sentence))


def _load(wanted: Wanted, options: Namespace, *, replaces_stale: bool) -> Report:
    """Load until what it was loaded for is still so afterwards.

    Where that fails, a kernel that is no longer true does not stay: one that was loaded here and,
    with `replaces_stale`, the one before. Raises KexecprepdError.
    """
    must_go = replaces_stale
    try:
        for _ in range(_TRIES):
            source, plan = _plan(wanted, options)
            loaded = _loaded(source, wanted.asked)
            with uninterrupted():
                kexec.load(plan)
                must_go = True
                request.keep(_ROOT, loaded)
            if _is_true(loaded):
                return _report(options, wanted, source, plan, loaded=True)
            time.sleep(_PAUSE)
            if source.generation is not None:
                Client().refresh()
        sentence = f"The memory changed {_TRIES} times while the kernel was being loaded."
        hint = "Memory is being plugged or unplugged: try again when that has settled."
        raise CtlError(Exit.FAILED, sentence, hint)
    except KexecprepdError as error:
        if not must_go:
            raise
        raise _given_up(error) from error


def _is_true(loaded: Loaded) -> bool:
    """Whether it can be told, and is so, that what a load depends on is as it was."""
    try:
        return not is_stale(_ROOT, loaded)
    except CtlError:
        return False  # sysfs is changing at this moment, or says what it should not


def _loaded(source: Source, asked: Request) -> Loaded:
    return Loaded(
        boot_id=_boot_id(_ROOT),
        efi=source.image is not None,
        handover_sha256=source.handover_sha256,
        generation=source.generation,
        loaded_at=now().realtime,
        request=asked,
    )


def _boot_id(root: Path) -> str:
    try:
        return boot_id(root)
    except OSError as error:
        sentence = f"Which boot this is cannot be told: {words_of(error)}."
        raise LoadError(sentence, "Mount /proc.") from error


def _given_up(error: KexecprepdError) -> CtlError:
    """Unload what must not be started any more, and say so beside why it could not be helped."""
    first = error if isinstance(error, CtlError) else failed(error)
    try:
        with uninterrupted():
            kexec.unload()
            request.forget(_ROOT)
    except LoadError as second:
        rest = f"The kernel that is loaded is stale, and cannot be unloaded: {second.sentence}"
        return CtlError(first.code, f"{first.sentence} {rest}", "Do not start it: do not kexec.")
    rest = "The kernel that was loaded is stale, and has been unloaded."
    return CtlError(first.code, f"{first.sentence} {rest}", first.hint)


def _plan(wanted: Wanted, options: Namespace) -> tuple[Source, Plan]:
    """The plan, of one generation of the map throughout. Raises KexecprepdError."""
    here = options.root == _ROOT and not options.no_efi
    source = of_daemon() if here else of_tree(options.root, efi=not options.no_efi)
    image = source.image
    sketch = draft(
        wanted.kernel,
        wanted.initrd,
        wanted.cmdline,
        source.machine,
        image.size if image else 0,
        receipt=wanted.asked.receipt,
    )
    if sketch.image_address is None:
        image = None
    receipt = _receipt(source, image, options.root) if sketch.has_receipt else None
    handed = image.handed if image else None
    return source, finish(sketch, handed, os.urandom(SEED_SIZE), receipt)


def _receipt(source: Source, image: Image | None, root: Path) -> Receipt:
    """What the next kernel is told of this load."""
    return Receipt(
        from_boot_id=_boot_id(root),
        sha256=image.sha256 if image else "",
        region_count=image.region_count if image else 0,
        loader=f"kexecprepctl {__version__}",
        loaded_at=now().realtime,
        kexec_count=read_origin(root).next_count,
        generation=source.generation,
        had=present(read_firmware(root)),
    )


def _report(
    options: Namespace,
    wanted: Wanted,
    source: Source,
    plan: Plan,
    *,
    obstacle: LoadError | None = None,
    loaded: bool = False,
) -> Report:
    return Report(
        file=str(options.kernel),
        unified=wanted.unified,
        kernel=wanted.kernel,
        cmdline=wanted.cmdline,
        source=source,
        plan=plan,
        obstacle=obstacle,
        loaded=loaded,
    )
