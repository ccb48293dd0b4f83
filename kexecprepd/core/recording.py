# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a recording of a machine holds, and what is left of it once it may be shown to anybody.

A recording is a tree of small files, by their paths below /: bytes for a file, None for a folder.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from ..abi.bootparam import EDD_COUNTS, EDD_MBR_SIG_BUFFER, EDDBUF, EDID_INFO, SIZE, Area
from ..abi.setup_data import SETUP_APPLE_PROPERTIES, SETUP_KEXP, SETUP_PCI
from . import receipt
from .cmdline import words
from .receipt import Receipt

FORMAT = 1
"""Version of the layout."""

ABOUT = "recording.json"
"""The file that makes a tree a recording, with the format in it."""

BOOT_PARAMS = "sys/kernel/boot_params"
SETUP_DATA = f"{BOOT_PARAMS}/setup_data"
EFIVARS = "sys/firmware/efi/efivars"
BOOT_ID = "proc/sys/kernel/random/boot_id"

NAME = re.compile(r"[A-Za-z0-9_+:,@-][A-Za-z0-9._+:,@-]{0,99}")
"""What a file or folder in a recording may be called: as the kernel calls things."""

Members = Mapping[str, bytes | None]
"""The files and folders of a recording."""

_NO_BOOT_ID = "00000000-0000-0000-0000-000000000000"
_DATA = re.compile(rf"{SETUP_DATA}/([0-9]+)/data")
_DEVICES = (EDID_INFO, EDD_COUNTS, EDD_MBR_SIG_BUFFER, EDDBUF)
"""What boot_params has of the screen's and the disks' own numbers."""

_DECISIVE = re.compile(
    r"noefi|add_efi_memmap|kernelcore=mirror|efi=[a-z_,:0-9-]*|kho=\w*"
    r"|(?:mem|memmap)=(?:nopentium|exactmap|[0-9a-fkmgtpex@#$!%,+-]*)",
    re.IGNORECASE,
)
"""What of a command line decides on an answer, and tells of the machine what the maps do."""


class What(StrEnum):
    """A kind of content, as people call it."""

    FIRMWARE = "EFI tables' addresses and runtime map"
    MEMORY = "memory map, memory blocks and /proc/iomem"
    HANDED = "boot_params and setup_data of this kernel"
    KERNEL = "what the kernel says of itself and of kexec"
    CMDLINE = "kernel command line"
    BOOT = "boot id"
    VARIABLES = "EFI variables about Secure Boot and the next boot"
    SCREEN = "which drivers have the screen"
    ABOUT = "about this recording"


_KINDS = (
    (EFIVARS, What.VARIABLES),
    ("sys/firmware/memmap", What.MEMORY),
    ("sys/devices/system/memory", What.MEMORY),
    ("proc/iomem", What.MEMORY),
    ("sys/firmware", What.FIRMWARE),
    (BOOT_PARAMS, What.HANDED),
    ("sys/class", What.SCREEN),
    ("proc/cmdline", What.CMDLINE),
    (BOOT_ID, What.BOOT),
    (ABOUT, What.ABOUT),
)


@dataclass(frozen=True, slots=True)
class Share:
    """How much of a recording is of one kind: files, and bytes in them."""

    what: What
    files: int
    size: int


def shares(members: Members) -> tuple[Share, ...]:
    """What is in a recording, by its kinds."""
    found: dict[What, Share] = {}
    for path, content in members.items():
        if content is not None:
            what = next((w for top, w in _KINDS if path.startswith(top)), What.KERNEL)
            old = found.get(what, Share(what, 0, 0))
            found[what] = Share(what, old.files + 1, old.size + len(content))
    return tuple(found[what] for what in What if what in found)


def redacted(members: Members) -> Members:
    """The same without what tells this machine, its disks or its boot from others of its kind.

    What is replayed stays: option ROMs and device properties keep their length, a receipt its
    other members, the command line the words that decide on an answer.
    """
    return {path: _redacted(path, content, members) for path, content in members.items()}


def _redacted(path: str, content: bytes | None, members: Members) -> bytes | None:
    if content is None:
        return None
    if path == "proc/cmdline":
        told = words(content.decode("ascii", "replace"))
        return " ".join(word for word in told if _DECISIVE.fullmatch(word)).encode() + b"\n"
    if path == "proc/version":
        return b"Linux version (left out)" + (
            b" PREEMPT_RT\n" if b"PREEMPT_RT" in content else b"\n"
        )
    if path == BOOT_ID:
        return _NO_BOOT_ID.encode() + b"\n"
    if path.startswith(f"{EFIVARS}/LoaderEntry"):
        return content[:4] + "(left out)\0".encode("utf-16-le")
    if path == f"{BOOT_PARAMS}/data":
        return _blanked(content, _DEVICES) if len(content) == SIZE else bytes(len(content))
    match = _DATA.fullmatch(path)
    kind = members.get(f"{SETUP_DATA}/{match[1]}/type") if match else None
    return _node(kind, content) if kind else content


def _blanked(content: bytes, areas: tuple[Area, ...]) -> bytes:
    data = bytearray(content)
    for area in areas:
        area.put(data, bytes(area.size))
    return bytes(data)


def _node(kind: bytes, content: bytes) -> bytes:
    if kind in (b"%#x\n" % SETUP_PCI, b"%#x\n" % SETUP_APPLE_PROPERTIES):
        return bytes(len(content))
    if kind != b"%#x\n" % SETUP_KEXP:
        return content
    told = receipt.parse(content)
    if isinstance(told, Receipt):
        return replace(told, from_boot_id=_NO_BOOT_ID).pack()
    return bytes(len(content))  # as unusable as before
