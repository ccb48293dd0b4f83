# SPDX-License-Identifier: LGPL-2.1-or-later
"""The object org.kexecprepd1.Manager: shows one handover, and says when another takes over.

The interface is documented in dbus/org.kexecprepd1.Manager.xml.
"""

from collections.abc import Callable

from gi.repository import GLib

from ..core.generation import Handover
from ..core.origin import Origin
from ..core.unreadable import Unreadable
from ..wire.bus import Reply, signal
from ..wire.errors import Failed
from ..wire.names import MANAGER, interface_xml
from ..wire.properties import Properties, signatures_of
from .answers import Answers


class Manager:
    """What `Bus.export` publishes."""

    MapChanged = signal()
    PropertiesChanged = signal()

    def __init__(
        self, handover: Handover, origin: Origin, refresh: Callable[[], Handover | Unreadable]
    ) -> None:
        """`origin` is how this kernel was started, which no handover changes.

        `refresh` reads everything again, and brings the present handover or why there was
        nothing to judge that by; whoever else it tells, it has told `show` before it returns.
        """
        self._refresh = refresh
        self._origin = origin
        self._signatures = signatures_of(interface_xml(MANAGER), MANAGER)
        self._answers = Answers(handover, origin, self._signatures)

    @property
    def ready_properties(self) -> Properties:
        """The properties, ready before they are asked for."""
        return self._answers.properties

    def show(self, handover: Handover, changed: tuple[str, ...]) -> None:
        """Serve a new handover, and tell everyone: PropertiesChanged, then MapChanged.

        For the handover that is being shown from the start on, MapChanged tells what changed
        before, if anything did.
        """
        before = self._answers.values
        self._answers = Answers(handover, self._origin, self._signatures)
        differing = {k: v for k, v in self._answers.values.items() if v != before[k]}
        if differing:
            self.PropertiesChanged(MANAGER, differing, [])
        if differing or changed:
            self.MapChanged(handover.generation, handover.assessment.sha256, list(changed))

    def GetSetupData(self) -> Reply:
        return self._answers.setup_data

    def PlaceSetupData(self, address: int, next_node: int) -> Reply:
        return self._answers.placed(address, next_node)

    def GetHandover(self) -> Reply:
        return self._answers.handover

    def OpenSetupData(self) -> Reply:
        return self._answers.opened()

    def GetRuntimeMap(self) -> Reply:
        return self._answers.runtime_map

    def GetMemoryMap(self) -> Reply:
        return self._answers.memory_map

    def GetExcludedRanges(self) -> Reply:
        return self._answers.excluded_ranges

    def GetFindings(self) -> Reply:
        return self._answers.findings

    def Refresh(self) -> Reply:
        found = self._refresh()
        if isinstance(found, Unreadable):
            raise Failed(f"{found.sentence} {found.hint}")
        return Reply(GLib.Variant("(t)", (found.generation,)))

    def Describe(self) -> Reply:
        return self._answers.describe
