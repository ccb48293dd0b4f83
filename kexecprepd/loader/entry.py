# SPDX-License-Identifier: LGPL-2.1-or-later
"""A way to start the machine that a boot loader would offer, and the order of them. Pure.

Sources: the UAPI Group's Boot Loader Specification (UAPI.1), systemd's src/boot/boot.c
(boot_entry_compare, config_select_default_entry), Fedora's grub2 (blscfg).
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase
from functools import cmp_to_key
from pathlib import Path
from typing import TypeVar

from . import versions

T = TypeVar("T", bool, int, tuple[str, str], tuple[int, int])

_COUNTED = re.compile(r"^(.+?)\+([0-9]{1,9})(?:-([0-9]{1,9}))?$")
_VARIABLE = re.compile(r"\$(?:\{([A-Za-z_][A-Za-z0-9_]*)\}|([A-Za-z_][A-Za-z0-9_]*))")
_LISTS = ("initrd", "options")


class Kind(StrEnum):
    """How an entry is described."""

    TYPE1 = "type1"
    """A file in loader/entries."""
    TYPE2 = "type2"
    """A unified kernel image in EFI/Linux."""
    FILES = "files"
    """A kernel and its initrd in /boot, by their names."""


@dataclass(frozen=True, slots=True)
class Entry:
    """`options` is the command line, None where it is that of the unified kernel image itself.

    `release` is what `uname -r` says in the kernel, where that is known; `tries_left` None where
    boots are not counted.
    """

    id: str
    kind: Kind
    title: str
    kernel: Path
    initrds: tuple[Path, ...] = ()
    options: str | None = None
    profile: str | None = None
    release: str | None = None
    version: str = ""
    sort_key: str = ""
    machine_id: str = ""
    tries_left: int | None = None
    tries_done: int = 0


@dataclass(frozen=True, slots=True)
class Counted:
    """A file's name without its suffix, apart from how often it may still be tried."""

    name: str
    tries_left: int | None
    tries_done: int


def counted(stem: str) -> Counted:
    """Take the counter off a name: NAME+LEFT or NAME+LEFT-DONE."""
    found = _COUNTED.match(stem)
    if found is None:
        return Counted(stem, None, 0)
    return Counted(found[1], int(found[2]), int(found[3] or 0))


@dataclass(frozen=True, slots=True)
class Described:
    """What a type 1 entry's file says; `values` are those of keys that have one, the last."""

    values: Mapping[str, str] = field(default_factory=dict)
    initrds: tuple[str, ...] = ()
    options: str | None = None


def parse_entry(text: str) -> Described:
    """Read a file of loader/entries: a key and its value a line, `#` before a comment."""
    values: dict[str, str] = {}
    lists: dict[str, list[str]] = {name: [] for name in _LISTS}
    for line in text.splitlines():
        key, _, value = line.strip().replace("\t", " ", 1).partition(" ")
        value = value.strip()
        if not key or key.startswith("#") or not value:
            continue
        if key in lists:
            lists[key].append(value)
        else:
            values[key] = value
    options = " ".join(lists["options"]) if lists["options"] else None
    return Described(values, tuple(lists["initrd"]), options)


def parse_loader_conf(text: str) -> tuple[str, ...]:
    """The patterns of loader.conf that say which entry is the default, the strongest first."""
    values = parse_entry(text).values
    return tuple(values[key] for key in ("preferred", "default") if key in values)


def expanded(text: str, variables: Mapping[str, str]) -> str:
    """A value of an entry that GRUB reads, with its variables filled in; unset ones are empty."""
    return _VARIABLE.sub(lambda found: variables.get(found[1] or found[2], ""), text)


def in_menu_order(entries: Iterable[Entry]) -> list[Entry]:
    """As systemd-boot shows them: those that failed too often last, then by their sort keys with
    the newest version first, then those without one.
    """
    return sorted(entries, key=cmp_to_key(_compare))


def in_grub_order(entries: Iterable[Entry]) -> list[Entry]:
    """As GRUB shows a Boot Loader Specification's: by their files' names, the newest first."""
    return sorted(entries, key=lambda entry: versions.key(entry.id), reverse=True)


def _compare(first: Entry, second: Entry) -> int:
    result = _order(first.tries_left == 0, second.tries_left == 0)
    result = result or _order(not first.sort_key, not second.sort_key)
    if not result and first.sort_key:
        result = _order((first.sort_key, first.machine_id), (second.sort_key, second.machine_id))
        result = result or -versions.compare(first.version, second.version)
    result = result or -versions.compare(_file_of(first), _file_of(second))
    result = result or _order(_profile(first), _profile(second))
    if not result:
        # Of two with one name, the one with more tries left, and then fewer done.
        result = _order((-_tries(first), first.tries_done), (-_tries(second), second.tries_done))
    return result


def _file_of(entry: Entry) -> str:
    """An ID without the profile's."""
    return entry.id.partition("@")[0] if entry.kind is Kind.TYPE2 else entry.id


def _profile(entry: Entry) -> int:
    numbered = entry.kind is Kind.TYPE2 and entry.profile is not None
    return int(entry.profile or 0) if numbered else 0


def _tries(entry: Entry) -> int:
    return -1 if entry.tries_left is None else entry.tries_left


def _order(ours: T, theirs: T) -> int:
    return (ours > theirs) - (ours < theirs)


def matching(entries: Sequence[Entry], pattern: str) -> Entry | None:
    """The first one whose ID matches a pattern as systemd-boot has them: case does not count."""
    found = (each for each in entries if fnmatchcase(each.id.lower(), pattern.lower()))
    return next(found, None)


def saved(entries: Sequence[Entry], name: str) -> Entry | None:
    """The one that GRUB's saved_entry names: an ID with or without .conf, a title or a number."""
    for each in entries:
        if name in (each.id, each.id.removesuffix(".conf"), each.title):
            return each
    if name.isdecimal() and len(name) < 9 and int(name) < len(entries):
        return entries[int(name)]
    return None
