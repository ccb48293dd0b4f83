# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the next kernel is told of the screen: what is so now, or nothing."""

import struct
from pathlib import Path

import pytest

from kexecprepd.loader.screen import NO_SCREEN, screen_info
from kexecprepd.reading.iomem import Resource
from kexecprepd.reading.screen import Framebuffer, Screen, read
from tests.support.kernels import resources
from tests.support.recordings import write

VESA, EFI, TEXT = 0x23, 0x70, 0x22
BASE = 0xC000_0000
ELSEWHERE = 0xFD_8000_0000
SIZE = 0x30_0000


def boot(kind: int, base: int = BASE, capabilities: int = 0) -> bytes:
    """struct boot_params of a boot with such a screen; offsets from its header."""
    params = bytearray(4096)
    params[0:64] = bytes(n | 1 for n in range(64))
    struct.pack_into("<B", params, 0x0F, kind)
    struct.pack_into("<IIII", params, 0x18, base & 0xFFFF_FFFF, SIZE, 0, 0)
    struct.pack_into("<II", params, 0x36, capabilities, base >> 32)
    return bytes(params)


def held(name: str, base: int = BASE) -> tuple[Resource, ...]:
    """/proc/iomem with something in the place of the framebuffer."""
    return resources(
        (0x10_0000, 0x7FFF_FFFF, "System RAM"),
        (base, base + 0xFF_FFFF, "0000:00:01.0"),
        (base, base + SIZE - 1, name, 1),
    )


def screen(*names: str, card: bool = False, address: int | None = None) -> Screen:
    return Screen(tuple(Framebuffer(name, address) for name in names), card)


NOTHING_HELD = held("nothing of ours")


@pytest.mark.parametrize(
    ("seen", "iomem"),
    [
        pytest.param(screen("EFI VGA", address=BASE), NOTHING_HELD, id="efifb"),
        pytest.param(screen("VESA VGA", address=BASE), NOTHING_HELD, id="vesafb"),
        pytest.param(screen("EFI VGA"), held("efifb"), id="efifb, by iomem alone"),
        pytest.param(screen("simple"), held("simplefb"), id="simplefb"),
        pytest.param(screen("simpledrmdrmfb", card=True), held("simpledrm"), id="simpledrm"),
        pytest.param(screen(card=True), held("simpledrm"), id="simpledrm without a framebuffer"),
        pytest.param(screen("efidrmdrmfb", card=True), held("efidrm"), id="efidrm"),
        pytest.param(screen("i915drmfb", "EFI VGA", address=BASE), (), id="beside a native one"),
        pytest.param(screen(), held("BOOTFB"), id="no driver yet"),
    ],
)
@pytest.mark.parametrize("kind", [VESA, EFI])
def test_while_the_firmware_s_framebuffer_is_in_use_it_is_told(
    seen: Screen, iomem: tuple[Resource, ...], kind: int
) -> None:
    assert screen_info(boot(kind), seen, iomem) == boot(kind)[:64]


@pytest.mark.parametrize(
    ("seen", "iomem"),
    [
        pytest.param(screen("EFI VGA", address=ELSEWHERE), held("efifb"), id="by /dev/fb0"),
        pytest.param(screen(card=True), held("simpledrm", ELSEWHERE), id="by /proc/iomem"),
    ],
)
def test_where_it_has_moved_its_present_address_is_told(
    seen: Screen, iomem: tuple[Resource, ...]
) -> None:
    assert screen_info(boot(EFI), seen, iomem) == boot(EFI, ELSEWHERE, capabilities=2)[:64]


def test_one_that_has_moved_down_is_told_in_both_halves() -> None:
    low = screen("EFI VGA", address=BASE)

    assert screen_info(boot(EFI, ELSEWHERE, 2), low, ()) == boot(EFI, BASE, 2)[:64]


@pytest.mark.parametrize(
    ("seen", "iomem"),
    [
        pytest.param(screen("bochs-drmdrmfb", card=True), NOTHING_HELD, id="native"),
        pytest.param(screen(card=True), held("bochs-drm"), id="native without a framebuffer"),
        pytest.param(screen("hyperv_fb", address=ELSEWHERE), NOTHING_HELD, id="hyperv_fb"),
        pytest.param(screen("i915drmfb", card=True), held("BOOTFB"), id="native, device left over"),
        pytest.param(screen(), NOTHING_HELD, id="nobody"),
        pytest.param(screen(), None, id="nothing known"),
    ],
)
@pytest.mark.parametrize("kind", [VESA, EFI])
def test_where_something_else_may_own_the_screen_none_is_told(
    seen: Screen, iomem: tuple[Resource, ...] | None, kind: int
) -> None:
    assert screen_info(boot(kind), seen, iomem) == NO_SCREEN == bytes(64)


@pytest.mark.parametrize("kind", [0, 1, TEXT])
def test_text_stays_text_until_a_driver_comes(kind: int) -> None:
    assert screen_info(boot(kind), screen(), NOTHING_HELD) == boot(kind)[:64]
    assert screen_info(boot(kind), screen(card=True), NOTHING_HELD) == NO_SCREEN
    assert screen_info(boot(kind), screen("bochs-drmdrmfb"), NOTHING_HELD) == NO_SCREEN


def test_framebuffers_are_read_by_their_names_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for name, told in (("fb10", "later"), ("fb2", "i915drmfb"), ("fbcon", "no framebuffer")):
        write(tmp_path, f"sys/class/graphics/{name}/name", f"{told}\n")
    write(tmp_path, "sys/class/drm/card1-DP-1/status", "connected\n")

    assert read(tmp_path) == screen("i915drmfb", "later")

    write(tmp_path, "sys/class/drm/card1/dev", "226:1\n")
    assert read(tmp_path).has_card


def test_a_machine_need_not_have_a_screen(tmp_path: Path) -> None:
    assert read(tmp_path) == screen()
