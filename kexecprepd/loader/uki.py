# SPDX-License-Identifier: LGPL-2.1-or-later
"""Takes a unified kernel image apart: a kernel, its initrd and its command line in one PE file.

Source: the UAPI Group's Unified Kernel Image specification (UAPI.5). What a section says of itself
is believed only as far as the file bears it out.
"""

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ..abi import bootparam
from ..core.intervals import Interval, overlapping_pairs
from .errors import LoadError
from .files import join

_MACHINE_X64 = 0x8664
_FOREIGN_MAGICS = (b"ARM\x64", b"RSC\x05")  # at 0x38: PE files as well, but kernels in themselves
_TAKEN = (".linux", ".initrd", ".ucode", ".cmdline")
_HINT = "Give a unified kernel image as ukify makes it, or its kernel and initrd one by one."
_DAMAGED = "The file is damaged: build the image again, or copy it again."


@dataclass(frozen=True, slots=True)
class UnifiedKernel:
    """What a unified kernel image gives the kernel; None for what it does not hold.

    `initrd` begins with the microcode, where there is some.
    """

    linux: bytes
    initrd: bytes | None
    cmdline: str | None


@dataclass(frozen=True, slots=True)
class _Section:
    name: str
    start: int
    size: int

    @property
    def extent(self) -> Interval:
        return Interval(self.start, self.start + self.size - 1)


def is_pe(data: bytes) -> bool:
    """Whether this is an EFI program, other than a kernel that has an EFI stub built in."""
    if data[:2] != b"MZ" or len(data) < 0x40:
        return False
    if bootparam.HEADER_MAGIC.get(data) == bootparam.MAGIC or data[0x38:0x3C] in _FOREIGN_MAGICS:
        return False
    at = struct.unpack_from("<I", data, 0x3C)[0]
    return data[at : at + 4] == b"PE\0\0"


def unpack(data: bytes, name: str) -> UnifiedKernel:
    """Take apart the content of the file `name`.

    Of an image with several profiles this is the one that the firmware starts when it is not
    asked for another: profile 0. Raises LoadError.
    """
    found = _default_profile(_sections(data, name), name)
    content = {
        section.name: data[section.start : section.start + section.size] for section in found
    }
    linux = content.get(".linux")
    if linux is None:
        kind = "an add-on of one" if content else "some other EFI program"
        raise LoadError(f"{name} is no unified kernel image, but {kind}: no .linux in it.", _HINT)
    initrds = [content[each] for each in (".ucode", ".initrd") if each in content]
    return UnifiedKernel(
        linux=linux,
        initrd=join(initrds),
        cmdline=_text(content[".cmdline"], name) if ".cmdline" in content else None,
    )


def _sections(data: bytes, name: str) -> list[_Section]:
    """Every section with content, in the order of the section table."""
    try:
        import pefile
    except ImportError as error:
        sentence = f"{name} is a PE file, and the library that reads those is not installed."
        raise LoadError(sentence, "Install python3-pefile.") from error
    try:
        pe = pefile.PE(data=data, fast_load=True)
    except pefile.PEFormatError as error:
        reason = str(error.value).rstrip(".")
        raise LoadError(f"{name} is a damaged PE file: {reason}.", _DAMAGED) from error
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
    sections = [
        _Section(
            name=each.Name.rstrip(b"\0").decode("ascii", errors="replace"),
            start=each.PointerToRawData,
            # The one is padded for the disk's sake, the other may be for memory's.
            size=min(each.SizeOfRawData, each.Misc_VirtualSize),
        )
        for each in table
    ]
    _require_sound(sections, len(data), name)
    return sections


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


def _default_profile(sections: Iterable[_Section], name: str) -> list[_Section]:
    """The sections before the first .profile, or those of the same name in profile 0."""
    chosen: dict[str, _Section] = {}
    for group in _profiles(sections):
        seen: dict[str, _Section] = {}
        for section in group:
            if section.name in seen:
                sentence = f"{name} has two sections {section.name} in one profile."
                raise LoadError(sentence, _DAMAGED)
            seen[section.name] = section
        chosen |= seen
    return list(chosen.values())


def _profiles(sections: Iterable[_Section]) -> Iterator[list[_Section]]:
    """What is taken of the base profile, then what of profile 0."""
    groups: list[list[_Section]] = [[]]
    for section in sections:
        if section.name == ".profile":
            groups.append([])
        elif section.name in _TAKEN:
            groups[-1].append(section)
    yield from groups[:2]


def _text(content: bytes, name: str) -> str:
    try:
        return content.rstrip(b"\0").decode("utf-8").strip()
    except UnicodeDecodeError as error:
        raise LoadError(f"{name} has a section .cmdline that is not text.", _DAMAGED) from error
