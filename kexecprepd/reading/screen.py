# SPDX-License-Identifier: LGPL-2.1-or-later
"""Reads who drives the screen: the framebuffers that there are, and what each is and where.

Source: drivers/video/fbdev/core/fbsysfs.c (the name), include/uapi/linux/fb.h (the ioctl).
"""

import fcntl
import os
import re
import struct
from dataclasses import dataclass
from pathlib import Path

from . import small

_GRAPHICS = "sys/class/graphics"
_CARDS = "sys/class/drm"
_FRAMEBUFFER = re.compile(r"fb[0-9]+")
_CARD = re.compile(r"card[0-9]+")

_FBIOGET_FSCREENINFO = 0x4602
_FIXED = struct.Struct("<16sQ")  # struct fb_fix_screeninfo begins with id and smem_start
_ROOM = 256  # bytes, for all of it


@dataclass(frozen=True, slots=True)
class Framebuffer:
    """One of /dev/fb*: its driver's name for it, and its physical address, None where it is not
    told: to users other than root, and by drivers that hide it.
    """

    name: str
    address: int | None


@dataclass(frozen=True, slots=True)
class Screen:
    """The framebuffers in the order of their numbers, and whether a DRM driver has a card."""

    framebuffers: tuple[Framebuffer, ...]
    has_card: bool


def read(root: Path) -> Screen:
    """Look below `root`. What is not there is not: a machine need not have a screen."""
    names = sorted(_names(root / _GRAPHICS, _FRAMEBUFFER), key=lambda name: int(name[2:]))
    return Screen(
        framebuffers=tuple(
            Framebuffer((small.text_or_none(root / _GRAPHICS / name / "name") or "").strip(), at)
            for name in names
            for at in [_address(name) if root == Path("/") else None]
        ),
        has_card=bool(_names(root / _CARDS, _CARD)),
    )


def _names(folder: Path, pattern: re.Pattern[str]) -> list[str]:
    try:
        return [name for name in os.listdir(folder) if pattern.fullmatch(name)]
    except OSError:
        return []  # no such class: no such driver


def _address(name: str) -> int | None:  # pragma: no cover # guests have screens: tests/vm
    try:
        fd = os.open(f"/dev/{name}", os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            fixed = fcntl.ioctl(fd, _FBIOGET_FSCREENINFO, bytes(_ROOM))
        finally:
            os.close(fd)
    except OSError:
        return None  # gone meanwhile, or not for this user
    _, address = _FIXED.unpack_from(fixed)
    return int(address) or None
