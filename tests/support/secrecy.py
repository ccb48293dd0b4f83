# SPDX-License-Identifier: LGPL-2.1-or-later
"""Finds addresses in texts that everyone may see, however they are written."""

import re
from collections.abc import Iterable

PAGE = 0x1000
"""Addresses in page 0 are no secret, and common numbers."""

_LOOKS_LIKE_ONE = re.compile(
    r"(?<!OEM )(?<!OS )(?<!type )(?:0x[0-9a-f]{3,}|(?<![\dx])\d{6,})", re.IGNORECASE
)


def addresses_in(text: str) -> list[str]:
    """What looks like an address, and is not the number of a memory type."""
    return _LOOKS_LIKE_ONE.findall(text)


def assert_no_address(text: str, known: Iterable[int]) -> None:
    """Fail where the text has a hexadecimal number, or a known address in any other writing."""
    assert not re.search(r"0x[0-9a-fA-F]", text), text
    secret = {address for address in known if address >= PAGE}
    numbers = {int(each) for each in re.findall(r"(?<![\w.])\d+", text)}
    assert not numbers & secret, text
    words = {int(each, 16) for each in re.findall(r"\b[0-9a-fA-F]{4,16}\b", text)}
    assert not words & secret, text
