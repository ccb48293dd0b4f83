# SPDX-License-Identifier: LGPL-2.1-or-later
"""The commands that load a kernel for kexec, forget it, and start it: load, unload, exec."""

import os
import re
import signal
import sys
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..core.surroundings import OF_FIRMWARE, cautions
from ..loader import bzimage, files, kexec, preflight, uki
from ..loader.bzimage import BzImage
from ..loader.errors import LoadError
from ..loader.plan import SEED_SIZE, Plan, draft, finish
from ..reading import small
from ..reading.iomem import IomemError
from ..reading.kernel import read_system
from ..reading.surroundings import read_surroundings
from ..reading.tree import ReadError, words_of
from .exits import CtlError, Exit, failed
from .load_source import Source, of_daemon, of_tree
from .load_view import Report, print_report
from .output import print_json

_TRIES = 5
"""How often everything is asked anew because the map changed meanwhile."""

_ROOT = Path("/")

# A parameter as the kernel parts them (lib/cmdline.c): blanks within quotes belong to it.
_PARAMETER = re.compile(r'(?:"[^"]*(?:"|$)|[^\s"])+')


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the user asks for: a kernel, and what it is to be started with."""

    kernel: BzImage
    unified: bool
    initrd: bytes | None
    cmdline: str


@contextmanager
def _in_words() -> Iterator[None]:
    """The one place where what keeps a kernel from being loaded becomes a CtlError."""
    try:
        yield
    except (LoadError, ReadError, IomemError) as error:
        raise failed(error) from error


@_in_words()
def load(options: Namespace) -> Exit:
    """Load a kernel; with --dry-run say what would be loaded where, and load nothing."""
    if options.root != _ROOT and not options.dry_run:
        sentence = "A kernel is loaded on this system alone, not in the tree that --root names."
        raise CtlError(Exit.USAGE, sentence, "Add --dry-run, or leave --root out.")
    wanted = read_wanted(options)
    obstacle = preflight.check(options.root)
    if obstacle is not None and not options.dry_run:
        raise obstacle
    source, plan = _plan(wanted, options)
    if not options.dry_run:
        kexec.load(plan)
    report = Report(
        file=str(options.kernel),
        unified=wanted.unified,
        kernel=wanted.kernel,
        cmdline=wanted.cmdline,
        source=source,
        plan=plan,
        obstacle=obstacle,
        loaded=not options.dry_run,
    )
    print_report(report, options.json)
    return Exit.OK


@_in_words()
def unload(options: Namespace) -> Exit:
    """Forget the kernel that is loaded, if there is one."""
    _require_here(options)
    loaded = read_system(_ROOT).kernel_loaded
    if loaded:
        obstacle = preflight.check(_ROOT)
        if obstacle is not None:
            raise obstacle
        kexec.unload()
    if options.json != "off":
        print_json({"unloaded": bool(loaded)}, options.json)
    else:
        print("The kernel that was loaded is unloaded." if loaded else "No kernel was loaded.")
    return Exit.OK


def exec_loaded(options: Namespace) -> Exit:
    """Have systemd shut down, and start the kernel that is loaded."""
    _require_here(options)
    system = read_system(_ROOT)
    if not system.kernel_loaded:
        hint = "Load one first: `kexecprepctl load KERNEL`."
        raise CtlError(Exit.FAILED, "No kernel is loaded, so there is none to start.", hint)
    for caution in cautions(read_surroundings(_ROOT, system), OF_FIRMWARE):
        print(f"note: {caution.message} {caution.hint}", file=sys.stderr)
    sys.stdout.flush()
    # Python ignores it, and what is run in its place would go on ignoring it.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        os.execvp("systemctl", ["systemctl", "kexec"])
    except OSError as error:
        sentence = f"systemctl cannot be run: {words_of(error)}."
        hint = "`kexec -e` starts the kernel at once, without shutting anything down."
        raise CtlError(Exit.FAILED, sentence, hint) from error


def _require_here(options: Namespace) -> None:
    if options.root != _ROOT:
        sentence = f"{options.command} is about this system, not about the tree that --root names."
        raise CtlError(Exit.USAGE, sentence, "Leave --root out.")


def read_wanted(options: Namespace) -> Wanted:
    """Read the files, and take apart what they hold. Raises LoadError."""
    room = files.room()
    data = files.read(options.kernel, "kernel", room)
    room -= len(data)
    initrds = []
    for path in options.initrd:
        initrds.append(files.read(path, "initrd", room))
        room -= len(initrds[-1])
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


def _plan(wanted: Wanted, options: Namespace) -> tuple[Source, Plan]:
    """The plan, of one generation of the map throughout. Raises KexecprepdError."""
    here = options.root == _ROOT and not options.no_efi
    for _ in range(_TRIES):
        source = of_daemon() if here else of_tree(options.root, efi=not options.no_efi)
        size = source.image.size if source.image else 0
        sketch = draft(wanted.kernel, wanted.initrd, wanted.cmdline, source.machine, size)
        handed = None
        if sketch.image_address is not None:
            handed = source.place(sketch.image_address, sketch.next_node)
            if handed is None:
                continue
        return source, finish(sketch, handed, os.urandom(SEED_SIZE))
    sentence = f"The memory map changed {_TRIES} times while it was asked for."
    hint = "Memory is being plugged or unplugged: try again when that has settled."
    raise CtlError(Exit.FAILED, sentence, hint)
