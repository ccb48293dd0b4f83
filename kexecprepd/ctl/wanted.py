# SPDX-License-Identifier: LGPL-2.1-or-later
"""Reads what `kexecprepctl load` is asked to load: the files, and the command line."""

import os
from argparse import Namespace
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..loader import addons, bootctl, bzimage, cmdline, entries, files, magic, uki
from ..loader.bzimage import BzImage
from ..loader.entry import Entry
from ..loader.errors import LoadError
from ..loader.files import Opened, Part
from ..loader.request import File, Request
from .here import HERE

_NOT_MEASURED = (
    "Nothing is measured into the TPM on the way: a disk that is sealed to what a boot measures "
    "will ask for its password."
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the user asks for: a kernel, and what it is to be started with.

    `linux` and `initrds` are the same where they lie in their files, which stay open as long as
    this is used. `given` are the initrds that were named, `others` the files that an entry or an
    image brought along. `notes` are whole sentences.
    """

    file: str
    kernel: BzImage
    linux: Part
    initrds: tuple[Part, ...]
    initrd: memoryview | None
    cmdline: str
    unified: bool
    profile: str | None
    entry: Entry | None
    given: tuple[Opened, ...]
    others: tuple[Opened, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Named:
    """The files that make up a kernel to load, by an entry or by the user."""

    entry: Entry | None
    kernel: Path
    initrds: tuple[Path, ...]
    profile: str | None
    notes: tuple[str, ...]


@contextmanager
def read_wanted(options: Namespace) -> Iterator[Wanted]:
    """Read the files, and take apart what they hold. Raises LoadError."""
    named = _named(options)
    with ExitStack() as stack:
        kernel = stack.enter_context(files.opened(named.kernel, "kernel"))
        given = [stack.enter_context(files.opened(path, "initrd")) for path in named.initrds]
        if uki.is_pe(kernel):
            yield _unified(options, named, kernel, given, stack)
        else:
            yield _plain(options, named, kernel, given)


def find_entries(root: Path) -> entries.Found:
    """This machine's boot entries, or those of a tree. Raises LoadError."""
    return entries.find(root, bootctl.ask() if root == HERE else None)


def _named(options: Namespace) -> _Named:
    if options.kernel is not None:
        return _Named(None, options.kernel, tuple(options.initrd), options.profile, ())
    entry = find_entries(options.root).named(options.entry)
    notes: tuple[str, ...] = ()
    if entry.tries_left == 0:
        notes = (f"The entry {entry.id} has failed as often as it may: no tries are left.",)
    initrds = (*entry.initrds, *options.initrd)
    return _Named(entry, entry.kernel, initrds, options.profile or entry.profile, notes)


def _plain(options: Namespace, named: _Named, kernel: Opened, given: list[Opened]) -> Wanted:
    if named.profile is not None:
        sentence = f"{kernel.path} is no unified kernel image, and has no profiles."
        raise LoadError(sentence, "Leave --profile out.")
    own = named.entry.options if named.entry else None
    return _put_together(
        options,
        named,
        linux=Part.whole(kernel),
        name=str(kernel.path),
        given=given,
        initrds=[Part.whole(each) for each in given],
        line=_cmdline(options, own, named.entry is not None),
        notes=_of_initrds(given),
    )


def _unified(
    options: Namespace, named: _Named, kernel: Opened, given: list[Opened], stack: ExitStack
) -> Wanted:
    image = uki.unpack(kernel, named.profile)
    if isinstance(image, uki.Stub):
        initrd = f", its initrd {image.initrd}" if image.initrd else ""
        sentence = f"{kernel.path} is a stub of lanzaboote: its kernel is {image.kernel}{initrd}."
        raise LoadError(sentence, "Load its boot entry, `kexecprepctl entries`, or those files.")
    beside = addons.beside(kernel.path)
    more, notes = addons.read(beside.addons, image.release, stack)
    own = image.cmdline
    if named.entry is not None and named.entry.options is not None:
        own = named.entry.options
    line = _cmdline(options, own, named.entry is not None)
    if not options.reuse_cmdline:  # it has them already, where this image is what runs
        line = cmdline.joined(line, *(each.cmdline for each in more))
    if image.measured:
        notes.append("Its signed policy for the TPM (.pcrsig) is left out.")
    if beside.others:
        names = ", ".join(each.name for each in beside.others)
        notes.append(f"Left out, as a measured boot alone takes them: {names}.")
    return _put_together(
        options,
        named,
        linux=image.linux,
        name=f"The .linux section of {kernel.path}",
        given=given,
        initrds=addons.initrds(
            image.ucode, image.initrd, more, (Part.whole(each) for each in given)
        ),
        line=line,
        notes=[*_of_initrds(given), *notes, _NOT_MEASURED],
        profile=str(image.profile) if image.profile else None,
        more=tuple(each.file for each in more),
    )


def _put_together(
    options: Namespace,
    named: _Named,
    *,
    linux: Part,
    name: str,
    given: list[Opened],
    initrds: list[Part],
    line: str,
    notes: list[str],
    profile: str | None = None,
    more: tuple[Opened, ...] = (),
) -> Wanted:
    room = files.room()
    content = files.gather([linux], room)
    assert content is not None
    kernel = bzimage.parse(content, name)
    at = len(given) - len(options.initrd)  # an entry's own come before those of the user
    return Wanted(
        file=str(named.kernel),
        kernel=kernel,
        linux=linux,
        initrds=tuple(initrds),
        initrd=files.gather(initrds, room - len(content)),
        cmdline=line,
        unified=not linux.is_whole,
        profile=profile,
        entry=named.entry,
        given=tuple(given[at:]),
        others=(*given[:at], *more),
        notes=(*named.notes, *notes),
    )


def request_of(wanted: Wanted, options: Namespace) -> Request:
    """The same as it can be asked for again; its files are read for their digests.

    Raises LoadError where one of them has changed.
    """
    return Request(
        kernel=_file(wanted.linux.file),
        initrds=tuple(_file(each) for each in wanted.given),
        others=tuple(_file(each) for each in wanted.others),
        append=options.append,
        reuse_cmdline=options.reuse_cmdline,
        cmdline=wanted.cmdline,
        efi=not options.no_efi,
        receipt=not options.no_receipt,
        syscall=options.syscall,
        profile=options.profile,
        entry=options.entry,
        default=options.kernel is None and options.entry is None,
        ahead=options.ahead,
    )


def _file(file: Opened) -> File:
    return File(os.path.abspath(file.path), file.sha256())


def _of_initrds(given: list[Opened]) -> list[str]:
    """What there is to note of files that are no initrds."""
    told = ((each.path, magic.no_initrd(each.head(bzimage.HEAD_SIZE))) for each in given)
    return [f"The file {path} looks like no initrd: {words}." for path, words in told if words]


def _cmdline(options: Namespace, own: str | None, by_entry: bool) -> str:
    """The command line, without what add-ons bring along.

    An entry's own is joined by --append: without it the next kernel would not find its root.
    """
    if options.reuse_cmdline:
        return cmdline.joined(cmdline.running(options.root), options.append)
    if options.append is not None:
        return cmdline.joined(own if by_entry else None, options.append)
    return own or ""
