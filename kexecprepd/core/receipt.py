# SPDX-License-Identifier: LGPL-2.1-or-later
"""The receipt: what a loader says that it handed over, for the next kernel to compare.

A setup_data node of type SETUP_KEXP with one JSON object in UTF-8, of 4 KiB at most. Kernels skip
types that they do not know, keep the memory, and show everyone the bytes in sysfs: so there is no
address in it. Whoever loads a kernel can write whatever they like there; nothing is believed that
is not compared, and nothing is done because of it.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

FORMAT = 1
"""Members may be added to a format; one that means something else takes another number."""

LIMIT = 4096
"""Bytes of a receipt at most."""

SIZE = 1024
"""Bytes of every receipt that is made here, so that its place is found before it is written."""

_U32 = (1 << 32) - 1
_I63 = (1 << 63) - 1

MOST_KEXECS = _U32
"""What `kexec_count` is at most."""

_BOOT_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_DIGEST = re.compile(r"([0-9a-f]{64})?")
_WORDS = re.compile(r"[ -~]{1,64}")
_NAME = re.compile(r"[a-z0-9-]{1,32}")

Member = int | str | list[str]
"""A value in a receipt."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a loader handed over, and when.

    `from_boot_id` is the boot id of the kernel that loaded this one; `kexec_count` the kexecs since
    power-on, this one among them, None where that kernel did not know its own count. `sha256` and
    `region_count` are the image's, "" and 0 where EFI was left out; `generation` the daemon's
    count, None where it was not asked. `had` names what the firmware gave that kernel (FACILITIES
    of core.facilities), None where the loader did not look. `loaded_at` is in microseconds of
    CLOCK_REALTIME.

    `kept`: no loader wrote it, but that kernel's daemon (core.keepsake). Then `loader` names the
    daemon, and `loaded_at` is when it had first read what it tells of.
    """

    from_boot_id: str
    sha256: str
    region_count: int
    loader: str
    loaded_at: int
    kexec_count: int | None = None
    generation: int | None = None
    had: tuple[str, ...] | None = None
    kept: bool = False

    def members(self) -> Mapping[str, Member]:
        """Its JSON object, without what is not known."""
        optional: dict[str, Member | None] = {
            "kexec-count": self.kexec_count,
            "generation": self.generation,
            "had": None if self.had is None else list(self.had),
            "kept": self.kept or None,
        }
        return {
            "format": FORMAT,
            "from-boot-id": self.from_boot_id,
            "sha256": self.sha256,
            "region-count": self.region_count,
            "loader": self.loader,
            "loaded-at": self.loaded_at,
            **{name: value for name, value in optional.items() if value is not None},
        }

    def pack(self) -> bytes:
        """The node's payload, filled up with blanks to SIZE."""
        packed = json.dumps(self.members(), separators=(",", ":")).encode("ascii")
        assert len(packed) <= SIZE
        return packed.ljust(SIZE)


@dataclass(frozen=True, slots=True)
class Unusable:
    """A receipt that says nothing; `problem` is why, in a few words and without its content.

    `foreign`: it is of a format that this program does not know, and may well be whole.
    """

    problem: str
    foreign: bool = False


def parse(payload: bytes | None) -> Receipt | Unusable:
    """Take a receipt apart; None stands for one that is longer than LIMIT. A loader wrote it, so it
    is not `kept`, whatever it says.
    """
    content = json_object(payload, LIMIT)
    if isinstance(content, Unusable):
        return content
    content.pop("kept", None)
    return of_members(content)


def json_object(payload: bytes | None, limit: int) -> dict[str, Any] | Unusable:
    """The members of a JSON object in UTF-8; None stands for one of more than `limit` bytes."""
    if payload is None or len(payload) > limit:
        return Unusable(f"it is longer than {limit} bytes")
    try:
        content = json.loads(payload.decode("utf-8"), parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return Unusable("it is not JSON")
    return content if isinstance(content, dict) else Unusable("it is no JSON object")


def of_members(content: Mapping[str, Any]) -> Receipt | Unusable:
    """The receipt of a JSON object; members that are not known here are passed over."""
    version = content.get("format")
    if type(version) is not int or version < 1:
        return Unusable("it has no format")
    if version != FORMAT:
        return Unusable("it is of another format", foreign=True)
    try:
        return Receipt(
            from_boot_id=_text(content, "from-boot-id", _BOOT_ID),
            sha256=_text(content, "sha256", _DIGEST),
            region_count=_number(content, "region-count", 0, _U32),
            loader=_text(content, "loader", _WORDS),
            loaded_at=_number(content, "loaded-at", 1, _I63),
            kexec_count=(
                _number(content, "kexec-count", 1, _U32) if "kexec-count" in content else None
            ),
            generation=_number(content, "generation", 1, _I63) if "generation" in content else None,
            had=_names(content, "had") if "had" in content else None,
            kept=_flag(content, "kept") if "kept" in content else False,
        )
    except ValueError as error:
        return Unusable(str(error))


def _no_constant(name: str) -> None:
    raise ValueError(name)  # NaN and the infinities, which JSON does not have


def _text(content: Mapping[str, Any], name: str, pattern: re.Pattern[str]) -> str:
    value = content.get(name)
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise ValueError(f"its {name} is missing or malformed")
    return value


def _number(content: Mapping[str, Any], name: str, minimum: int, maximum: int) -> int:
    value = content.get(name)
    if type(value) is not int or not minimum <= value <= maximum:  # a bool is no number here
        raise ValueError(f"its {name} is missing or out of range")
    return value


def _flag(content: Mapping[str, Any], name: str) -> bool:
    value = content.get(name)
    if not isinstance(value, bool):
        raise ValueError(f"its {name} is neither true nor false")
    return value


def _names(content: Mapping[str, Any], name: str) -> tuple[str, ...]:
    value = content.get(name)
    if not isinstance(value, list):
        raise ValueError(f"its {name} is no list")
    if not all(isinstance(each, str) and _NAME.fullmatch(each) for each in value):
        raise ValueError(f"its {name} holds something else than names")
    return tuple(value)
