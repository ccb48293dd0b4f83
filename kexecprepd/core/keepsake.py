# SPDX-License-Identifier: LGPL-2.1-or-later
"""The keepsake: what a kernel's daemon knows, left for the daemon of the kernel that follows.

The receipt's JSON object, of what the daemon would hand over, with one member more: `before` is the
receipt that the kernel before this one had left, so that a daemon that is started again in the
same boot knows it still. It is in a file of memory that systemd keeps, over a kexec too where
the kernel can (KHO); root may have put anything there.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from . import receipt
from .receipt import Receipt, Unusable, json_object, of_members

LIMIT = 2 * receipt.LIMIT
"""Bytes of a keepsake at most, which is two receipts: a kernel that does not take it up loses its
memory for that boot.
"""

BEFORE = "before"


@dataclass(frozen=True, slots=True)
class Keepsake:
    """What the daemon of the boot `own.from_boot_id` knew, and what it had found kept itself."""

    own: Receipt
    before: Receipt | None

    def pack(self) -> bytes:
        """The JSON object in UTF-8; the same content is the same bytes."""
        before = {} if self.before is None else {BEFORE: self.before.members()}
        return _packed({**self.own.members(), **before})

    def for_boot(self, boot_id: str) -> Receipt | None:
        """What the kernel before the one of this boot had left; None where it left nothing."""
        return self.before if self.own.from_boot_id == boot_id else self.own


def parse(payload: bytes | None) -> Keepsake | Unusable:
    """Take a keepsake apart; None stands for one that is longer than LIMIT."""
    content = json_object(payload, LIMIT)
    if isinstance(content, Unusable):
        return content
    own = _receipt(content)
    before = _receipt(content[BEFORE]) if BEFORE in content else None
    if isinstance(own, Unusable):
        return own
    if isinstance(before, Unusable):
        return before
    if before is not None and before.from_boot_id == own.from_boot_id:
        return Unusable("it says of one boot that it came before itself")
    return Keepsake(own, before)


def the_one(found: Iterable[Keepsake | Unusable], boot_id: str) -> Keepsake | Unusable | None:
    """Which of all that was kept counts in this boot: its own, or else that after the most kexecs,
    as clocks can be set back; one of no use only where there is nothing else.
    """
    found = tuple(found)
    usable = [each for each in found if isinstance(each, Keepsake)]
    if not usable:
        return found[0] if found else None

    def order(each: Keepsake) -> tuple[bool, int, int]:
        own = each.own
        return own.from_boot_id == boot_id, own.kexec_count or 0, own.loaded_at

    return max(usable, key=order)


def _receipt(content: Any) -> Receipt | Unusable:
    if not isinstance(content, dict):
        return Unusable(f"its {BEFORE} is no JSON object")
    found = of_members(content)
    if isinstance(found, Unusable):
        return found
    if len(_packed(found.members())) > receipt.LIMIT:
        return Unusable(f"a receipt in it is longer than {receipt.LIMIT} bytes")
    return replace(found, kept=True)


def _packed(members: Mapping[str, Any]) -> bytes:
    return json.dumps(members, separators=(",", ":")).encode("ascii")
