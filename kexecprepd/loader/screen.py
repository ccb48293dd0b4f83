# SPDX-License-Identifier: LGPL-2.1-or-later
"""Chooses what the next kernel is told of the screen.

The boot's own words are true only while nobody but the firmware has set the screen up. A native
driver owns it otherwise, and may have moved or switched off the framebuffer that the firmware had:
a kernel that is told of it writes where nothing is, or where something else is.

Sources: drivers/firmware/sysfb.c and sysfb_simplefb.c, drivers/video/aperture.c,
drivers/video/fbdev/efifb.c and vesafb.c, drivers/gpu/drm/sysfb.
"""

from collections.abc import Iterable

from ..abi import bootparam
from ..abi.bootparam import VIDEO_TYPE_EFI, VIDEO_TYPE_VLFB
from ..reading.iomem import Resource
from ..reading.screen import Screen

NO_SCREEN = bytes(bootparam.SCREEN_INFO.size)
"""Of which a kernel knows that it knows of no screen."""

_LINEAR = (VIDEO_TYPE_VLFB, VIDEO_TYPE_EFI)

_FRAMEBUFFERS = ("EFI VGA", "VESA VGA")
"""What efifb and vesafb call theirs, and tell the address of."""

_HELD_BY = ("efifb", "vesafb", "simplefb", "simpledrm", "efidrm", "vesadrm")
"""The drivers of the firmware's framebuffer, as /proc/iomem has them."""

_DEVICE = ("BOOTFB",)
"""The device that drivers without an address of their own are for, also where none has come."""


def screen_info(boot: bytes, screen: Screen, iomem: Iterable[Resource] | None) -> bytes:
    """The 64 bytes of struct screen_info: those of the boot with the present address while the
    firmware's framebuffer is in use, and else zeros.

    `boot` is struct boot_params as this kernel was started with it, 4096 bytes.
    """
    told = bootparam.SCREEN_INFO.get(boot)
    if bootparam.ORIG_VIDEO_ISVGA.get(boot) not in _LINEAR:
        # Text, or nothing at all: it is as it was unless a driver has switched to graphics.
        return NO_SCREEN if screen.framebuffers or screen.has_card else told
    address = _in_use_at(screen, iomem or ())
    return NO_SCREEN if address is None else _at(told, address)


def _in_use_at(screen: Screen, iomem: Iterable[Resource]) -> int | None:
    """The present address of the firmware's framebuffer, None where nothing shows it in use."""
    for framebuffer in screen.framebuffers:
        if framebuffer.name in _FRAMEBUFFERS and framebuffer.address is not None:
            return framebuffer.address
    taken = screen.framebuffers or screen.has_card
    names = _HELD_BY if taken else (*_HELD_BY, *_DEVICE)
    return next((each.start for each in iomem if each.name in names), None)


def _at(told: bytes, address: int) -> bytes:
    moved = bytearray(told)
    bootparam.LFB_BASE.put(moved, address)
    capabilities = bootparam.SCREEN_CAPABILITIES.get(told)
    if address >> 32:
        capabilities |= bootparam.VIDEO_CAPABILITY_64BIT_BASE
    bootparam.SCREEN_CAPABILITIES.put(moved, capabilities)
    return bytes(moved)
