# SPDX-License-Identifier: LGPL-2.1-or-later
"""An interface's properties as bodies that go out as they are, made once while they do not change.

GLib.Variant() finds the type of every value anew, and takes longer than all else of a GetAll().
"""

from collections.abc import Mapping
from typing import Any

from gi.repository import Gio, GLib


def signatures_of(xml: str, interface: str) -> Mapping[str, str]:
    """The D-Bus signatures of an interface's properties, by their names."""
    described = Gio.DBusNodeInfo.new_for_xml(xml).lookup_interface(interface)
    return {each.name: each.signature for each in described.properties}


class Properties:
    """The properties of one moment: the answers to GetAll() and to each Get()."""

    def __init__(self, signatures: Mapping[str, str], values: Mapping[str, Any]) -> None:
        """`values` has each property that `signatures` has, as a value that GLib.Variant takes."""
        typed = {name: GLib.Variant(kind, values[name]) for name, kind in signatures.items()}
        self.all = GLib.Variant("(a{sv})", (typed,))
        self._each = {name: GLib.Variant("(v)", (value,)) for name, value in typed.items()}

    def one(self, name: str) -> Any:
        """The answer to Get() of a property that the interface has."""
        return self._each[name]
