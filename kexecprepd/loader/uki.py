# SPDX-License-Identifier: LGPL-2.1-or-later
"""Takes a unified kernel image apart: a kernel, its initrd and its command line in one PE file.

Source: the UAPI Group's Unified Kernel Image specification (UAPI.5). What a section says of itself
is believed only as far as the file bears it out.
"""

import mmap
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ..abi import bootparam
from ..core.intervals import Interval, overlapping_pairs
from . import assignments, bzimage
from .errors import LoadError
from .files import Opened, Part

_MACHINE_X64 = 0x8664
_FOREIGN_MAGICS = (b"ARM\x64", b"RSC\x05")  # at 0x38: PE files as well, but kernels in themselves
_DOS_HEADER = 0x40
_MAGIC = b"PE\0\0"
_HEADERS = 1 << 16
"""Bytes at the beginning that hold all headers: no linker takes more than a page or two."""

_TEXTS = (".cmdline", ".uname", ".osrel", ".profile")
_TAKEN = (".linux", ".initrd", ".ucode", *_TEXTS)
_MEASURED = ".pcrsig"
_LANZABOOTE = {".linuxh": (".linux", ".initrd"), ".kernelh": (".kernelp", ".initrdp")}
"""What tells a stub of lanzaboote, of today and of before, and its sections that hold paths."""

_TEXT_LIMIT = 1 << 20
"""Bytes of a section that is text, far above any that a kernel takes."""

_HINT = "Give a unified kernel image as ukify makes it, or its kernel and initrd one by one."
_DAMAGED = "The file is damaged: build the image again, or copy it again."


@dataclass(frozen=True, slots=True)
class Profile:
    """One of several ways to start an image; `id` and `title` are "" where it gives none."""

    number: int
    id: str
    title: str

    def __str__(self) -> str:
        """As it is named on the command line, and what it calls itself."""
        told = f"{self.number} ({self.id})" if self.id else str(self.number)
        return f"{told}, {self.title}" if self.title else told


@dataclass(frozen=True, slots=True)
class UnifiedKernel:
    """What a unified kernel image gives the kernel; None for what it does not hold.

    `uname` is the text of .uname, `profile` the one that was taken of `profiles`; `measured` tells
    of a signature for what only a measured boot gives.
    """

    linux: Part
    ucode: Part | None
    initrd: Part | None
    cmdline: str | None
    uname: str | None
    os_release: Mapping[str, str]
    profile: Profile | None
    profiles: tuple[Profile, ...]
    measured: bool

    @property
    def release(self) -> str | None:
        """What `uname -r` says in the kernel, by itself where .uname does not say so.

        Raises LoadError.
        """
        return self.uname or bzimage.release(self.linux.head(bzimage.HEAD_SIZE))


@dataclass(frozen=True, slots=True)
class Stub:
    r"""A stub of lanzaboote: paths as the firmware has them, such as \EFI\nixos\kernel.efi."""

    kernel: str
    initrd: str | None
    cmdline: str | None
    os_release: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Section:
    name: str
    start: int
    size: int

    @property
    def extent(self) -> Interval:
        return Interval(self.start, self.start + self.size - 1)


def is_pe(file: Opened) -> bool:
    """Whether this is an EFI program, other than a kernel that has an EFI stub built in."""
    head = file.head(bootparam.INIT_SIZE_END)
    if head[:2] != b"MZ" or len(head) < _DOS_HEADER or head[0x38:0x3C] in _FOREIGN_MAGICS:
        return False
    if bootparam.HEADER_MAGIC.get(head) == bootparam.MAGIC:
        return False
    at = struct.unpack_from("<I", head, 0x3C)[0]
    return at + len(_MAGIC) <= file.size and file.read(at, len(_MAGIC)) == _MAGIC


def unpack(file: Opened, profile: str | None = None) -> UnifiedKernel | Stub:
    """Take a unified kernel image apart, or a stub that has another file's kernel.

    Of an image with several profiles this is the one of that number or ID, or else the one that the
    firmware starts when it is not asked for another: profile 0. Raises LoadError.
    """
    base, groups = _groups(sections(file), str(file.path))
    profiles = tuple(_profile(number, group, file) for number, group in enumerate(groups))
    taken = _chosen(profiles, profile, str(file.path))
    found = base if taken is None else base | groups[taken.number]
    parts = {name: Part(file, each.start, each.size) for name, each in found.items()}
    texts = {name: _text(parts[name], name) for name in _TEXTS if name in parts}
    os_release = assignments.shell(texts.get(".osrel", ""))
    for mark, (kernel, initrd) in _LANZABOOTE.items():
        if mark in parts and kernel in parts:
            return Stub(
                kernel=_text(parts[kernel], kernel),
                initrd=_text(parts[initrd], initrd) if initrd in parts else None,
                cmdline=texts.get(".cmdline"),
                os_release=os_release,
            )
    if ".linux" not in parts:
        kind = "an add-on of one" if {".cmdline", ".initrd", ".ucode"} & parts.keys() else ""
        sentence = f"{file.path} is no unified kernel image, but {kind or 'some other EFI program'}"
        raise LoadError(f"{sentence}: no .linux in it.", _HINT)
    return UnifiedKernel(
        linux=parts[".linux"],
        ucode=parts.get(".ucode"),
        initrd=parts.get(".initrd"),
        cmdline=texts.get(".cmdline"),
        uname=texts.get(".uname"),
        os_release=os_release,
        profile=taken,
        profiles=profiles,
        measured=_MEASURED in parts,
    )


def take_of_add_on(file: Opened) -> tuple[dict[str, Part], dict[str, str]]:
    """The parts of an add-on by their sections' names, and its texts. Raises LoadError."""
    found, groups = _groups(sections(file), str(file.path))
    if ".linux" in found or groups:
        sentence = f"The add-on {file.path} is a unified kernel image itself."
        raise LoadError(sentence, "Move it out of the directory of add-ons.")
    parts = {name: Part(file, each.start, each.size) for name, each in found.items()}
    texts = {name: _text(parts[name], name) for name in _TEXTS if name in parts}
    return parts, texts


def sections(file: Opened) -> list[_Section]:
    """Every section of an EFI program for x86-64, in the order of its table. Raises LoadError."""
    name = str(file.path)
    try:
        import pefile
    except ImportError as error:
        sentence = f"{name} is a PE file, and the library that reads those is not installed."
        raise LoadError(sentence, "Install python3-pefile.") from error
    head = file.head(_HEADERS)
    try:
        # It looks at headers alone, and judges them by the length of what it is given. So that is
        # memory of the file's length, of which no more is touched.
        with mmap.mmap(-1, file.size, flags=mmap.MAP_PRIVATE) as data:
            data[: len(head)] = head
            pe = pefile.PE(data=data, fast_load=True)
    except pefile.PEFormatError as error:
        reason = str(error.value).rstrip(".")
        raise LoadError(f"{name} is a damaged PE file: {reason}.", _DAMAGED) from error
    except (OSError, MemoryError) as error:
        sentence = f"{name} has {file.size} bytes, more than there is memory for."
        raise LoadError(sentence, _DAMAGED) from error
    if pe.FILE_HEADER.Machine != _MACHINE_X64:
        sentence = f"{name} is for another architecture: its machine is {pe.FILE_HEADER.Machine:#x}"
        raise LoadError(f"{sentence}, not {_MACHINE_X64:#x}.", _HINT)
    if len(pe.sections) != pe.FILE_HEADER.NumberOfSections:
        sentence = (
            f"{name} is a damaged PE file: of {pe.FILE_HEADER.NumberOfSections} sections "
            f"only {len(pe.sections)} make sense."
        )
        raise LoadError(sentence, _DAMAGED)
    # pefile gives them by virtual address; it is the table's order that parts the profiles.
    table = sorted(pe.sections, key=lambda each: each.get_file_offset())
    found = [
        _Section(
            name=each.Name.rstrip(b"\0").decode("ascii", errors="replace"),
            start=each.PointerToRawData,
            # The one is padded for the disk's sake, the other may be for memory's.
            size=min(each.SizeOfRawData, each.Misc_VirtualSize),
        )
        for each in table
    ]
    _require_sound(found, file.size, name)
    return found


def _require_sound(sections: list[_Section], size: int, name: str) -> None:
    for section in sections:
        if section.name in _TAKEN and section.size == 0:
            raise LoadError(f"{name} has a section {section.name} with nothing in it.", _DAMAGED)
        if section.start + section.size > size and section.size:
            beyond = section.start + section.size - size
            sentence = f"{name} is truncated: its section {section.name!r} ends {beyond} bytes"
            raise LoadError(f"{sentence} beyond the file.", _DAMAGED)
    filled = [section for section in sections if section.size]
    for first, second in overlapping_pairs(filled, lambda section: section.extent):
        sentence = f"{name} has sections that overlap: {first.name!r} and {second.name!r}."
        raise LoadError(sentence, _DAMAGED)


def _groups(
    sections: Iterable[_Section], name: str
) -> tuple[dict[str, _Section], list[dict[str, _Section]]]:
    """The sections before the first .profile, and those of each profile by itself."""
    groups: list[dict[str, _Section]] = [{}]
    wanted = {*_TAKEN, _MEASURED, *_LANZABOOTE, *(p for each in _LANZABOOTE.values() for p in each)}
    for section in sections:
        if section.name == ".profile":
            groups.append({})
        if section.name not in wanted or not section.size:
            continue
        if section.name in groups[-1]:
            sentence = f"{name} has two sections {section.name} in one profile."
            raise LoadError(sentence, _DAMAGED)
        groups[-1][section.name] = section
    return groups[0], groups[1:]


def _profile(number: int, group: Mapping[str, _Section], file: Opened) -> Profile:
    section = group[".profile"]
    told = assignments.shell(_text(Part(file, section.start, section.size), ".profile"))
    return Profile(number, told.get("ID", ""), told.get("TITLE", ""))


def _chosen(profiles: tuple[Profile, ...], wanted: str | None, name: str) -> Profile | None:
    if wanted is None or (wanted == "0" and not profiles):
        return profiles[0] if profiles else None
    for each in profiles:
        if wanted in (str(each.number), each.id):
            return each
    if not profiles:
        raise LoadError(f"{name} has no profiles.", "Leave --profile out.")
    listed = "; ".join(map(str, profiles))
    raise LoadError(f"{name} has no profile {wanted}.", f"It has these: {listed}.")


def _text(part: Part, name: str) -> str:
    if part.size > _TEXT_LIMIT:
        sentence = f"{part.file.path} has {part.size} bytes of text in its section {name}."
        raise LoadError(sentence, _DAMAGED)
    try:
        return part.head(part.size).rstrip(b"\0").decode("utf-8").strip()
    except UnicodeDecodeError as error:
        sentence = f"{part.file.path} has a section {name} that is not text."
        raise LoadError(sentence, _DAMAGED) from error
