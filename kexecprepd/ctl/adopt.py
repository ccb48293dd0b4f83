# SPDX-License-Identifier: LGPL-2.1-or-later
"""The command that has a unit run its loader on the view, and takes that back: adopt."""

import re
import subprocess
from argparse import Namespace
from pathlib import Path

from ..core.view import FOLDERS
from ..reading.small import text_or_none
from ..reading.there import is_there
from ..reading.tree import words_of
from . import effect
from .exits import CtlError, Exit
from .here import HERE
from .output import note, print_json

_UNITS = Path("etc/systemd/system")
_NAME = "kexecprepd.conf"
_OWN = "kexecprepd.service"

# Source: unit_name_is_valid() in systemd's src/basic/unit-name.c; templates are units, too.
_UNIT = re.compile(r"[A-Za-z0-9:_.\\-]+(@[A-Za-z0-9:_.\\-]*)?\.service")
_LONGEST = 255

# What tells our drop-ins from others; the package's removal looks for this line as well.
_MARK = "# Made by `kexecprepctl adopt`.\n"

_DROP_IN = f"""{_MARK}# `kexecprepctl adopt --undo UNIT` takes it away.

[Unit]
Wants={_OWN}
After={_OWN}

[Service]
# Not with "-" before the paths: without a view the unit is to fail, rather than to load a kernel
# over the firmware's tables.
""" + "".join(
    f"BindReadOnlyPaths=/run/kexecprepd/view/{folder.name}:/{folder.shadows}\n"
    for folder in FOLDERS
)


def adopt(options: Namespace) -> Exit:
    """Adopt units, take that back with --undo, or list the adopted ones where none is named."""
    units = [_checked(unit) for unit in options.units]
    if options.undo and not units:
        hint = "`kexecprepctl adopt` lists those that are adopted."
        raise CtlError(Exit.USAGE, "--undo takes the names of units.", hint)
    if not units:
        return _list(options)
    if not options.undo:
        _require_folders(options.root)
        # What another tree's unit would run is not known here.
        for sentence in effect.notes(HERE) if options.root == HERE else ():
            note(sentence, quiet=options.quiet)
    for unit in units:
        path = _path(options.root, unit)
        _require_ours(path)
        if options.undo and not path.exists():
            note(f"{unit} was not adopted.", quiet=options.quiet)
        try:
            _remove(path) if options.undo else _write(path)
        except OSError as error:
            code = Exit.DENIED if isinstance(error, PermissionError) else Exit.FAILED
            sentence = f"{error.filename or path} cannot be changed: {words_of(error)}."
            raise CtlError(code, sentence, "Run this as root, on a writable /etc.") from error
    if options.root == HERE:
        _reload()
    return _list(options)


def adopted(root: Path) -> list[str]:
    """The units that are adopted, in alphabetical order."""
    found = (root / _UNITS).glob(f"*.d/{_NAME}")
    return sorted(path.parent.name.removesuffix(".d") for path in found if _is_ours(path))


def _list(options: Namespace) -> Exit:
    units = adopted(options.root)
    if options.json != "off":
        print_json({"adopted": units}, options.json)
    elif options.quiet and options.units:
        pass  # what was done is not told
    elif units:
        print("\n".join(units))
    else:
        print("No unit is adopted.")
    return Exit.OK


def _checked(unit: str) -> str:
    """The unit's whole name. Raises CtlError for what can be none."""
    name = unit if "." in unit else f"{unit}.service"
    if not _UNIT.fullmatch(name) or len(name) > _LONGEST:
        hint = "Name a unit that loads a kernel, for instance kexec-load.service."
        raise CtlError(Exit.USAGE, f"{unit!a} is not the name of a service.", hint)
    if name == _OWN:
        hint = "It is what the view comes from."
        raise CtlError(Exit.USAGE, f"{_OWN} cannot be shown a view of its own.", hint)
    return name


def _require_folders(root: Path) -> None:
    for folder in FOLDERS:
        if not is_there(root / folder.shadows):
            raise CtlError(
                Exit.FAILED,
                f"This kernel has no /{folder.shadows}: an adopted unit could not start.",
                "`kexecprepctl status` says why there is none.",
            )


def _path(root: Path, unit: str) -> Path:
    return root / _UNITS / f"{unit}.d" / _NAME


def _is_ours(path: Path) -> bool:
    return (text_or_none(path) or "").startswith(_MARK)


def _require_ours(path: Path) -> None:
    if path.exists() and not _is_ours(path):
        sentence = f"{path} was not made by `kexecprepctl adopt`, and is left alone."
        raise CtlError(Exit.FAILED, sentence, "Take it away, or put what it says elsewhere.")


def _write(path: Path) -> None:
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    path.write_text(_DROP_IN)
    path.chmod(0o644)


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)
    if path.parent.is_dir() and not list(path.parent.iterdir()):
        path.parent.rmdir()


def _reload() -> None:
    """Have systemd read the drop-ins, where it runs."""
    if not Path("/run/systemd/system").is_dir():
        return
    try:
        done = subprocess.run(["systemctl", "daemon-reload"], stdin=subprocess.DEVNULL)
        problem = f"it ended with {done.returncode}" if done.returncode else ""
    except OSError as error:
        problem = words_of(error)
    if problem:
        sentence = f"systemd has not read the change: `systemctl daemon-reload`: {problem}."
        raise CtlError(Exit.FAILED, sentence, "Run it again, or reboot.")
