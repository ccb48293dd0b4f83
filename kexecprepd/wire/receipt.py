# SPDX-License-Identifier: LGPL-2.1-or-later
"""A receipt's members as D-Bus has them."""

from collections.abc import Mapping

from ..core.receipt import Member, Receipt

SIGNATURES = {
    "format": "u",
    "from-boot-id": "s",
    "kexec-count": "u",
    "generation": "t",
    "sha256": "s",
    "region-count": "u",
    "had": "as",
    "loader": "s",
    "loaded-at": "t",
    "kept": "b",
}
"""The names on the wire, which are those of the JSON, with their D-Bus signatures."""


def to_wire(receipt: Receipt) -> Mapping[str, tuple[str, Member]]:
    """Each member that is known: its D-Bus signature, and a value of that type."""
    return {name: (SIGNATURES[name], value) for name, value in receipt.members().items()}
