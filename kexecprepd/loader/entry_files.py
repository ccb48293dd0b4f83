# SPDX-License-Identifier: LGPL-2.1-or-later
"""Makes boot entries of what lies on a machine's boot partitions: files in, entries out.

Whatever is wrong with one file leaves out that entry, with a note: a boot loader does the same.
"""

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..reading import small
from ..reading.tree import words_of
from . import assignments, files, uki, versions
from .bzimage import HEAD_SIZE, release
from .entry import Counted, Entry, Kind, counted, expanded, parse_entry
from .errors import LoadError
from .files import Opened, opened

_LIMIT = 1 << 16
"""Bytes of an entry's file, of grubenv and of loader.conf."""

_ARCHITECTURES = ("", "x64", "x86-64", "x86_64")
_NO_KERNEL = re.compile(r"rescue|\.(?:old|bak|sig|hmac|sha\d+|dpkg-\w+|rpm\w+)$|~$")
_INITRDS = ("initrd.img-{}", "initramfs-{}.img", "initrd-{}")
"""As Debian and Ubuntu, Fedora and Arch, and SUSE name them."""

_VERSIONS = ("IMAGE_VERSION", "VERSION", "VERSION_ID", "VERSION_CODENAME", "BUILD_ID")
_NAMES = ("PRETTY_NAME", "IMAGE_ID", "NAME", "ID")
_SORT_KEYS = ("IMAGE_ID", "ID")


@dataclass(frozen=True, slots=True)
class Partition:
    """Where entries lie, and below which directory their paths begin: one of `tops` has the file.

    /boot may be a partition, or a directory of one.
    """

    tops: tuple[Path, ...]

    @property
    def top(self) -> Path:
        """Where loader/ and EFI/ are."""
        return self.tops[0]

    def resolve(self, path: str) -> Path | None:
        """Where a path of an entry, with either slash, leads here; None where no file is."""
        parts = [part for part in re.split(r"[/\\]", path) if part not in ("", ".")]
        if ".." in parts:
            return None
        found = (top.joinpath(*parts) for top in self.tops)
        # Not Path's own: that raises for a name that is too long, or in a folder that is closed.
        return next((each for each in found if os.path.isfile(each)), None)


def listed(folder: Path) -> list[str]:
    """The names in a directory of boot entries or kernels. Raises LoadError."""
    return files.listed(folder, "Boot entries")


def text_of(path: Path) -> str | None:
    """A small file of text, such as loader.conf; None where there is none that can be read."""
    try:
        return small.contents(path, _LIMIT).decode("utf-8", "replace")
    except OSError:
        return None


def type1(partition: Partition, grub: Mapping[str, str] | None) -> tuple[list[Entry], list[str]]:
    """Those of loader/entries, and notes on what is left out; `grub` are GRUB's variables where
    that reads them. Raises LoadError.
    """
    return _collected(
        partition.top / "loader/entries", ".conf", lambda path: _type1(partition, path, grub)
    )


def _collected(
    folder: Path, suffix: str, read: Callable[[Path], Sequence[Entry]]
) -> tuple[list[Entry], list[str]]:
    """The entries of a directory's files, and a note on each file that cannot be taken for one."""
    found: list[Entry] = []
    notes: list[str] = []
    for name in listed(folder):
        if name.startswith(".") or not name.lower().endswith(suffix):
            continue
        try:
            found += read(folder / name)
        except LoadError as error:
            notes.append(_left_out(name, error))
    return found, notes


def _left_out(name: str, error: LoadError) -> str:
    return f"The entry {name} is left out. {error.sentence}"


def _type1(partition: Partition, path: Path, grub: Mapping[str, str] | None) -> Sequence[Entry]:
    try:
        text = small.contents(path, _LIMIT).decode("utf-8", "replace")
    except OSError as error:
        raise LoadError(f"{path} cannot be read: {words_of(error)}.") from error
    if grub is not None and "kernelopts" not in grub and re.search(r"\$\{?kernelopts\b", text):
        raise LoadError("Its command line is GRUB's variable kernelopts, and grubenv has none.")
    described = parse_entry(text)
    values = described.values
    if values.get("architecture", "").lower() not in _ARCHITECTURES:
        return ()
    named = next((values[key] for key in ("linux", "uki", "efi") if key in values), None)
    if named is None:
        return ()
    initrds = described.initrds
    options = described.options
    if grub is not None:
        named = expanded(named, grub)
        # GRUB parts them at blanks, and takes what a variable adds for further ones.
        initrds = tuple(part for each in initrds for part in expanded(each, grub).split())
        options = None if options is None else expanded(options, grub)
    kernel = _found(partition, named)
    with opened(kernel, "kernel") as file:
        unified = uki.is_pe(file)
        if unified and "linux" not in values and not _is_linux(file):
            return ()
        told = _release(file)
    name = counted(path.name[: -len(".conf")])
    entry = Entry(
        id=f"{name.name}.conf",
        kind=Kind.TYPE1,
        title=values.get("title", name.name),
        kernel=kernel,
        initrds=tuple(_found(partition, each) for each in initrds),
        options=options if unified else options or "",
        profile=values.get("profile"),
        release=told,
        version=values.get("version", ""),
        sort_key=values.get("sort-key", ""),
        machine_id=values.get("machine-id", ""),
        tries_left=name.tries_left,
        tries_done=name.tries_done,
    )
    return (entry,)


def type2(partition: Partition) -> tuple[list[Entry], list[str]]:
    """Those of EFI/Linux, one for each profile, and notes on what is left out. Raises LoadError."""

    def read(path: Path) -> Sequence[Entry]:
        with opened(path, "kernel") as file:
            return _type2(partition, file)

    return _collected(partition.top / "EFI/Linux", ".efi", read)


def _type2(partition: Partition, file: Opened) -> Sequence[Entry]:
    name = counted(file.path.name[: -len(".efi")])
    image = uki.unpack(file)
    if isinstance(image, uki.Stub):
        return [_of_stub(partition, name, image)]
    entries = []
    for profile in image.profiles or (None,):
        own = uki.unpack(file, str(profile.number)) if profile and profile.number else image
        assert isinstance(own, uki.UnifiedKernel)
        title = _first(own.os_release, _NAMES) or name.name
        suffix = f"@{profile.id or profile.number}" if profile and profile.number else ""
        entries.append(
            Entry(
                id=f"{name.name}.efi{suffix}",
                kind=Kind.TYPE2,
                title=f"{title} ({profile.title})" if profile and profile.title else title,
                kernel=file.path,
                profile=str(profile.number) if profile else None,
                release=own.release,
                version=_first(own.os_release, _VERSIONS),
                sort_key=_first(own.os_release, _SORT_KEYS),
                tries_left=name.tries_left,
                tries_done=name.tries_done,
            )
        )
    return entries


def _of_stub(partition: Partition, name: Counted, stub: uki.Stub) -> Entry:
    kernel = _found(partition, stub.kernel)
    with opened(kernel, "kernel") as file:
        told = _release(file)
    return Entry(
        id=f"{name.name}.efi",
        kind=Kind.TYPE2,
        title=_first(stub.os_release, _NAMES) or name.name,
        kernel=kernel,
        initrds=(_found(partition, stub.initrd),) if stub.initrd else (),
        options=stub.cmdline or "",
        release=told,
        version=_first(stub.os_release, _VERSIONS),
        sort_key=_first(stub.os_release, _SORT_KEYS),
        tries_left=name.tries_left,
        tries_done=name.tries_done,
    )


def by_name(folder: Path, system: str, cmdline: str) -> tuple[list[Entry], list[str]]:
    """The kernels that are installed in /boot, the newest first, each with its initrd, and notes.

    `system` is the distribution's name, `cmdline` what all of them get. Raises LoadError.
    """
    names = listed(folder)
    found: list[Entry] = []
    notes: list[str] = []
    for name in names:
        version = name.removeprefix("vmlinuz-")
        if version in (name, "") or _NO_KERNEL.search(name):
            continue
        try:
            with opened(folder / name, "kernel") as file:
                told = _release(file)
        except LoadError as error:
            notes.append(_left_out(name, error))
            continue
        initrds = [each.format(version) for each in _INITRDS if each.format(version) in names]
        found.append(
            Entry(
                id=version,
                kind=Kind.FILES,
                title=f"{system}, Linux {version}" if system else f"Linux {version}",
                kernel=folder / name,
                initrds=(folder / initrds[0],) if initrds else (),
                options=cmdline,
                release=told or version,
                version=version,
            )
        )
    # A release candidate comes before its release, as distributions' own tools have it.
    found.sort(key=lambda each: versions.key(each.version.replace("-rc", "~rc")), reverse=True)
    return found, notes


def system_name(root: Path) -> str:
    """What the system below `root` calls itself, "" where it does not."""
    for path in ("etc/os-release", "usr/lib/os-release"):
        if text := text_of(root / path):
            return assignments.shell(text).get("PRETTY_NAME", "")
    return ""


def _found(partition: Partition, path: str) -> Path:
    found = partition.resolve(path)
    if found is None:
        raise LoadError(f"There is no file {path} on its partition.")
    return found


def _is_linux(file: Opened) -> bool:
    try:
        uki.unpack(file)
    except LoadError:
        return False
    return True


def _release(file: Opened) -> str | None:
    """What `uname -r` says in a kernel, a bzImage or a unified image."""
    if not uki.is_pe(file):
        return release(file.head(HEAD_SIZE))
    image = uki.unpack(file)
    return None if isinstance(image, uki.Stub) else image.release


def _first(values: Mapping[str, str], keys: Iterable[str]) -> str:
    return next((values[key] for key in keys if values.get(key)), "")
