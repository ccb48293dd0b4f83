# SPDX-License-Identifier: LGPL-2.1-or-later
"""Reads what `kexecprepctl load` is asked to load: the files, and the command line."""

import re
from argparse import Namespace
from dataclasses import dataclass

from ..loader import bzimage, files, uki
from ..loader.bzimage import BzImage
from ..loader.errors import LoadError
from ..loader.request import File, Request
from ..reading import small
from ..reading.tree import words_of

# A parameter as the kernel parts them (lib/cmdline.c): blanks within quotes belong to it.
_PARAMETER = re.compile(r'(?:"[^"]*(?:"|$)|[^\s"])+')


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the user asks for: a kernel, and what it is to be started with.

    `asked` is the same as it can be asked for again.
    """

    kernel: BzImage
    unified: bool
    initrd: bytes | None
    cmdline: str
    asked: Request


def read_wanted(options: Namespace) -> Wanted:
    """Read the files, and take apart what they hold. Raises LoadError."""
    room = files.room()
    data = files.read(options.kernel, "kernel", room)
    room -= len(data)
    initrds = []
    for path in options.initrd:
        initrds.append(files.read(path, "initrd", room))
        room -= len(initrds[-1])
    asked = Request(
        kernel=File.of(options.kernel, data),
        initrds=tuple(File.of(*each) for each in zip(options.initrd, initrds, strict=True)),
        append=options.append,
        reuse_cmdline=options.reuse_cmdline,
        efi=not options.no_efi,
        receipt=not options.no_receipt,
    )
    name, built_in = str(options.kernel), None
    unified = uki.is_pe(data)
    if unified:
        parts = uki.unpack(data, name)
        data, built_in = parts.linux, parts.cmdline
        name = f"The .linux section of {name}"
        if parts.initrd is not None:
            initrds.insert(0, parts.initrd)
    return Wanted(
        kernel=bzimage.parse(data, name),
        unified=unified,
        initrd=files.join(initrds),
        cmdline=_cmdline(options, built_in),
        asked=asked,
    )


def _cmdline(options: Namespace, built_in: str | None) -> str:
    if options.append is not None:
        appended: str = options.append
        return appended
    if not options.reuse_cmdline:
        return built_in or ""
    path = options.root / "proc/cmdline"
    try:
        text = small.contents(path).decode("utf-8", "surrogateescape")
    except OSError as error:
        sentence = f"{path} cannot be read: {words_of(error)}."
        raise LoadError(sentence, "Give the command line with --append.") from error
    return without_boot_image(text)


def without_boot_image(cmdline: str) -> str:
    """A command line without BOOT_IMAGE=, by which a boot loader tells what it has loaded."""
    parameters = _PARAMETER.findall(cmdline.strip())
    return " ".join(each for each in parameters if not each.startswith("BOOT_IMAGE="))
