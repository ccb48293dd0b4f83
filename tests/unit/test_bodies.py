# SPDX-License-Identifier: LGPL-2.1-or-later
"""Bodies that are made in haste: the same Variants as GLib.Variant() makes of the same values."""

import pytest
from gi.repository import GLib

from kexecprepd.wire import bodies

RANGES = [
    (0, 0x9FFFF, "System RAM"),
    (0x10_0000, (1 << 64) - 1, "a type with 'quotes', \"more\", a \\, an \u00e4 and \U0001f600"),
    (5, 4, ""),
    (0x10_0000, 0x10_0000, "System RAM"),
]


@pytest.mark.parametrize("members", [[], RANGES])
def test_ranges(members: list[tuple[int, int, str]]) -> None:
    made = bodies.ranges(members)
    assert made.equal(GLib.Variant("a(tts)", members))
    assert made.unpack() == members


@pytest.mark.parametrize(
    "members", [[], [(0, 7, 1, 2, 3, 4), ((1 << 32) - 1, 11, *[(1 << 64) - 1] * 3, 15)]]
)
def test_regions(members: list[tuple[int, int, int, int, int, int]]) -> None:
    made = bodies.regions(members)
    assert made.equal(GLib.Variant("a(uutttt)", members))


@pytest.mark.parametrize("data", [b"", b"\0\1\377"])
def test_octets(data: bytes) -> None:
    assert bodies.octets(data).equal(GLib.Variant("ay", data))


def test_a_record() -> None:
    made = bodies.record({"ranges": ("a(tts)", RANGES), "state": ("s", "ready")})
    whole = {"ranges": GLib.Variant("a(tts)", RANGES), "state": GLib.Variant("s", "ready")}
    assert made.equal(GLib.Variant("a{sv}", whole))
