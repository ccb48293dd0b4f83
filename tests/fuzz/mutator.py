# SPDX-License-Identifier: LGPL-2.1-or-later
"""Damages bytes: a few changes at a time, each of a kind that readers have stumbled over."""

from collections.abc import Callable, Sequence
from random import Random

LIMIT = 1 << 16
"""Bytes of an input at most."""

_EDGES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, 1 << 63, (1 << 64) - 1)
_WORDS = (
    *(
        b"\0",
        b"\n",
        b" ",
        b"=",
        b",",
        b'"',
        b"0x",
        b"-",
        b"\xff\xfe",
        b"\xed\xa0\x80",
        b"../",
        b"%n",
    ),
    *(b"0x" + b"f" * 17, b"9" * 400, b"[" * 2000, b"NaN", b"1e999", b"true", b"null", b"{}"),
    *(b"mem=1G", b"memmap=4K$1G", b"efi=runtime", b"System RAM", b"Reserved", b"EL64", b"HdrS"),
)

_Change = Callable[[bytearray, Random, Sequence[bytes]], None]


def _flip(data: bytearray, random: Random, _: Sequence[bytes]) -> None:
    if data:
        data[_place(data, random)] ^= 1 << random.randrange(8)


def _number(data: bytearray, random: Random, _: Sequence[bytes]) -> None:
    size = random.choice((1, 2, 4, 8))
    value = random.choice(_EDGES) % (1 << 8 * size)
    at = _place(data, random)
    data[at : at + size] = value.to_bytes(size, "little")


def _digit(data: bytearray, random: Random, _: Sequence[bytes]) -> None:
    """Another digit in the place of one, so that a number stays a number."""
    digits = [at for at, byte in enumerate(data[:4096]) if byte in b"0123456789abcdef"]
    if digits:
        data[random.choice(digits)] = random.choice(b"0123456789abcdef")


def _word(data: bytearray, random: Random, _: Sequence[bytes]) -> None:
    at = _place(data, random)
    data[at:at] = random.choice(_WORDS)


def _cut(data: bytearray, random: Random, _: Sequence[bytes]) -> None:
    at = _place(data, random)
    del data[at : at + random.choice((1, 1, 2, 4, 16, 256, LIMIT))]


def _repeat(data: bytearray, random: Random, _: Sequence[bytes]) -> None:
    at = _place(data, random)
    piece = data[at : at + random.choice((1, 4, 20, 64, 512))]
    data[at:at] = piece * random.choice((1, 1, 2, 50))


def _cross(data: bytearray, random: Random, others: Sequence[bytes]) -> None:
    """The end of another input in the place of its own."""
    other = random.choice(others)
    at = _place(data, random)
    data[at:] = other[min(at, len(other)) :]


_CHANGES: tuple[_Change, ...] = (
    _flip,
    _flip,
    _number,
    _digit,
    _digit,
    _word,
    _cut,
    _repeat,
    _cross,
)


def _place(data: bytearray, random: Random) -> int:
    """Anywhere; more often near the beginning, where headers are."""
    end = random.choice((len(data), min(len(data), 0x280), min(len(data), 0x40)))
    return random.randrange(end) if end else 0


def mutated(seeds: Sequence[bytes], random: Random) -> bytes:
    """One of the seeds with one to eight changes."""
    data = bytearray(random.choice(seeds))
    for _ in range(random.choice((1, 1, 1, 2, 2, 4, 8))):
        random.choice(_CHANGES)(data, random, seeds)
        del data[LIMIT:]
    return bytes(data)
