# SPDX-License-Identifier: LGPL-2.1-or-later
"""The object org.kexecprepd1.Manager: shows one handover, and says when another takes over.

The interface is documented in dbus/org.kexecprepd1.Manager.xml.
"""

import fcntl
import json
import os
from collections.abc import Callable
from typing import Any

from gi.repository import GLib

from .. import __version__
from ..core.finding import Severity, State
from ..core.generation import Handover
from ..core.origin import Origin
from ..core.placement import PlacementError, excluded_ranges, place
from ..core.presence import present_memory_map
from ..core.snapshot import Snapshot
from ..core.unreadable import Unreadable
from ..wire.bus import Reply, signal
from ..wire.errors import Failed, Invalid, InvalidArgs, Unsupported
from ..wire.loader_info import loader_info
from ..wire.names import MANAGER
from ..wire.receipt import to_wire as receipt_to_wire

Properties = dict[str, Any]


def properties_of(handover: Handover, origin: Origin) -> Properties:
    """All properties of the interface for one handover, by their names: values that JSON has."""
    assessment, snapshot = handover.assessment, handover.snapshot
    return {
        "State": str(assessment.state),
        "Reason": assessment.reason,
        "Generation": handover.generation,
        "Sha256": assessment.sha256,
        "RegionCount": len(snapshot.runtime_regions) if snapshot else 0,
        "WarningCount": assessment.count(Severity.WARNING),
        "ErrorCount": assessment.count(Severity.ERROR),
        "SnapshotTimestamp": handover.taken.realtime,
        "SnapshotTimestampMonotonic": handover.taken.monotonic,
        "BootID": handover.boot_id,
        "StartedBy": str(origin.started_by),
        "KexecCount": origin.kexec_count or 0,
        "Receipt": origin.receipt.members() if origin.receipt else {},
        "Version": __version__,
    }


class Manager:
    """What `Bus.export` publishes. Properties are plain attributes, ready before they are asked."""

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
        self._adopt(handover)

    def _adopt(self, handover: Handover) -> None:
        self._handover = handover
        self._properties = properties_of(handover, self._origin)
        info = loader_info(handover)
        self._info = GLib.Variant(
            "a{sv}",
            {name: GLib.Variant(*typed) for name, typed in info.to_wire().items()} if info else {},
        )

    @property
    def Receipt(self) -> dict[str, Any]:
        """The one property that is not on the wire as JSON has it."""
        receipt = self._origin.receipt
        return {
            name: GLib.Variant(*typed)
            for name, typed in (receipt_to_wire(receipt) if receipt else {}).items()
        }

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["_properties"][name]
        except KeyError:
            raise AttributeError(name) from None

    def show(self, handover: Handover, changed: tuple[str, ...]) -> None:
        """Serve a new handover, and tell everyone: PropertiesChanged, then MapChanged.

        For the handover that is being shown from the start on, MapChanged tells what changed
        before, if anything did.
        """
        before = self._properties
        self._adopt(handover)
        differing = {k: v for k, v in self._properties.items() if v != before[k]}
        if differing:
            self.PropertiesChanged(MANAGER, differing, [])
        if differing or changed:
            self.MapChanged(handover.generation, handover.assessment.sha256, list(changed))

    def GetSetupData(self) -> Reply:
        data, _ = self._image()
        return Reply(GLib.Variant.new_tuple(_bytes(data), self._info))

    def PlaceSetupData(self, address: int, next_node: int) -> Reply:
        data, snapshot = self._image()
        try:
            placed, efi_info = place(data, snapshot, address, next_node)
        except PlacementError as error:
            raise InvalidArgs(error.sentence) from error
        return Reply(GLib.Variant.new_tuple(_bytes(placed), _bytes(efi_info), self._info))

    def GetHandover(self) -> Reply:
        data, snapshot = self._image()
        memory_map = [(r.start, r.end, r.type) for r in present_memory_map(snapshot)]
        ranges = GLib.Variant("a(tts)", memory_map)
        return Reply(GLib.Variant.new_tuple(_bytes(data), ranges, self._info))

    def OpenSetupData(self) -> Reply:
        data, _ = self._image()
        # Each caller gets a file of its own: a shared one would share its offset as well.
        try:
            fd = _sealed_memfd(data)
        except OSError as error:
            raise Failed(f"No memory file could be made: {error.strerror}.") from error
        return Reply(GLib.Variant.new_tuple(GLib.Variant("h", 0), self._info), (fd,))

    def GetRuntimeMap(self) -> Reply:
        regions = [
            (r.number, r.type, r.phys_addr, r.virt_addr, r.num_pages, r.attribute)
            for r in self._snapshot().runtime_map or ()
        ]
        return Reply(GLib.Variant("(a(uutttt))", (regions,)))

    def GetMemoryMap(self) -> Reply:
        ranges = [(r.start, r.end, r.type) for r in self._snapshot().memory_map or ()]
        return Reply(GLib.Variant("(a(tts))", (ranges,)))

    def GetExcludedRanges(self) -> Reply:
        _, snapshot = self._image()
        ranges = [(each.start, each.end, each.why) for each in excluded_ranges(snapshot)]
        return Reply(GLib.Variant("(a(tts))", (ranges,)))

    def GetFindings(self) -> Reply:
        findings = [
            (
                str(finding.severity),
                finding.code,
                finding.message,
                {
                    name: GLib.Variant("s" if isinstance(value, str) else "t", value)
                    for name, value in {"hint": finding.hint, **finding.details}.items()
                },
            )
            for finding in self._handover.assessment.findings
        ]
        return Reply(GLib.Variant("(a(sssa{sv}))", (findings,)))

    def Refresh(self) -> Reply:
        found = self._refresh()
        if isinstance(found, Unreadable):
            raise Failed(f"{found.sentence} {found.hint}")
        return Reply(GLib.Variant("(t)", (found.generation,)))

    def Describe(self) -> Reply:
        return Reply(GLib.Variant("(s)", (json.dumps(self._properties),)))

    def _snapshot(self) -> Snapshot:
        if self._handover.snapshot is None:
            raise Invalid(self._handover.assessment.reason)
        return self._handover.snapshot

    def _image(self) -> tuple[bytes, Snapshot]:
        assessment = self._handover.assessment
        if assessment.state is State.UNSUPPORTED:
            raise Unsupported(assessment.reason)
        if assessment.image is None:
            raise Invalid(assessment.reason)
        return assessment.image, self._snapshot()


def _bytes(data: bytes) -> Any:
    return GLib.Variant.new_from_bytes(GLib.VariantType("ay"), GLib.Bytes.new(data), True)  # noqa: FBT003 # trusted


def _sealed_memfd(data: bytes) -> int:
    """A memfd with `data` that nobody can change, at offset 0. Raises OSError."""
    fd = os.memfd_create("kexecprepd-setup-data", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        with open(fd, "wb", closefd=False) as file:
            file.write(data)
        os.lseek(fd, 0, os.SEEK_SET)
        fcntl.fcntl(
            fd,
            fcntl.F_ADD_SEALS,
            fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE,
        )
    except OSError:
        os.close(fd)
        raise
    return fd
