# SPDX-License-Identifier: LGPL-2.1-or-later
"""Finds what lies beside a unified kernel image, and belongs to it: its add-ons.

Source: the UAPI Group's Unified Kernel Image specification (UAPI.5), systemd-stub(7). Add-ons for
all images come before those for this one, each in the order of their names; as the kernel takes the
first microcode that it finds, the last add-on's comes first.
"""

import os
import re
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from . import uki
from .files import Opened, Part, listed, opened

_COUNTER = re.compile(r"\+[0-9]+(-[0-9]+)?(?=\.efi$)", re.IGNORECASE)
"""How often an image may still be tried: no part of its name (UAPI.1, boot counting)."""


@dataclass(frozen=True, slots=True)
class Addon:
    """What an add-on gives the kernel; None for what it does not hold."""

    file: Opened
    cmdline: str | None
    initrd: Part | None
    ucode: Part | None


@dataclass(frozen=True, slots=True)
class Beside:
    """What lies beside an image: paths, each in the order in which the firmware takes them.

    `others` is what only a measured boot takes: credentials, system and configuration extensions.
    """

    addons: tuple[Path, ...]
    others: tuple[Path, ...]


def beside(image: Path) -> Beside:
    """Look beside an image, and in the directories for all images of its partition.

    Raises LoadError for a directory that is there and cannot be read.
    """
    path = Path(os.path.abspath(image))
    own = path.parent / f"{_COUNTER.sub('', path.name)}.extra.d"
    top = _top(path)
    addons: list[Path] = []
    others: list[Path] = []
    for folder, suffixes in (
        (top and top / "loader/addons", (".addon.efi",)),
        (own, (".addon.efi",)),
        (top and top / "loader/credentials", (".cred",)),
        (top and top / "loader/extensions", (".raw",)),
        (own, (".cred", ".raw")),
    ):
        found = _listed(folder, suffixes) if folder else []
        (addons if suffixes == (".addon.efi",) else others).extend(found)
    return Beside(tuple(addons), tuple(others))


def read(
    paths: Iterable[Path], release: str | None, stack: ExitStack
) -> tuple[list[Addon], list[str]]:
    """The add-ons for a kernel of this release, and notes on those that are for another one.

    The files stay open with `stack`. Raises LoadError.
    """
    addons, notes = [], []
    for path in paths:
        file = stack.enter_context(opened(path, "add-on"))
        parts, texts = uki.take_of_add_on(file)
        wanted = texts.get(".uname")
        if wanted is not None and release is not None and wanted != release:
            notes.append(f"The add-on {path} is left out: it is for Linux {wanted}.")
            continue
        addons.append(Addon(file, texts.get(".cmdline"), parts.get(".initrd"), parts.get(".ucode")))
    return addons, notes


def initrds(
    ucode: Part | None, initrd: Part | None, addons: list[Addon], given: Iterable[Part]
) -> list[Part]:
    """What makes up the next kernel's initrd, in its order; `given` is the user's own."""
    return [
        *(each.ucode for each in reversed(addons) if each.ucode),
        *(each for each in (ucode, initrd) if each),
        *(each.initrd for each in addons if each.initrd),
        *given,
    ]


def _top(path: Path) -> Path | None:
    """The top of the partition of an image that lies in EFI/Linux there."""
    inside = [part.lower() for part in path.parent.parts[-2:]] == ["efi", "linux"]
    return path.parents[2] if inside else None


def _listed(folder: Path, suffixes: tuple[str, ...]) -> list[Path]:
    names = listed(folder, "What belongs to the image")
    return [folder / each for each in names if each.lower().endswith(suffixes)]
