# SPDX-License-Identifier: LGPL-2.1-or-later
"""The answers that one handover gives: each is made when it is first asked for, and kept."""

import json
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from gi.repository import GLib

from .. import __version__
from ..core.finding import Severity, State
from ..core.generation import Handover
from ..core.origin import Origin
from ..core.placement import PlacementError, Placer, excluded_ranges
from ..core.presence import present_memory_map
from ..core.snapshot import MemoryRange, Snapshot
from ..wire import bodies
from ..wire.bus import Reply
from ..wire.errors import Failed, Invalid, InvalidArgs, Unsupported
from ..wire.loader_info import loader_info
from ..wire.properties import Properties
from ..wire.receipt import to_wire as receipt_to_wire
from .memfd import sealed


def values_of(handover: Handover, origin: Origin) -> dict[str, Any]:
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


class Answers:
    """To each method that answers with what was read; all may raise Invalid, and those that need an
    image Unsupported as well.
    """

    def __init__(self, handover: Handover, origin: Origin, signatures: Mapping[str, str]) -> None:
        """`signatures` are those of the interface's properties."""
        self._handover = handover
        self._origin = origin
        self._signatures = signatures
        self.values = values_of(handover, origin)

    @cached_property
    def properties(self) -> Properties:
        """The answers to GetAll and Get of the Properties interface."""
        receipt = self._origin.receipt
        # The one property that is not on the wire as JSON has it.
        typed = receipt_to_wire(receipt) if receipt else {}
        members = {name: GLib.Variant(*each) for name, each in typed.items()}
        return Properties(self._signatures, {**self.values, "Receipt": members})

    @cached_property
    def describe(self) -> Reply:
        """All properties as JSON."""
        return Reply(GLib.Variant("(s)", (json.dumps(self.values),)))

    @cached_property
    def setup_data(self) -> Reply:
        """The image, and its `info`."""
        data, _ = self._image
        return _reply(bodies.octets(data), self._info)

    @cached_property
    def handover(self) -> Reply:
        """The image, the memory map without absent memory, and `info`."""
        data, snapshot = self._image
        present = bodies.ranges(_in_order(present_memory_map(snapshot)))
        return _reply(bodies.octets(data), present, self._info)

    def placed(self, address: int, next_node: int) -> Reply:
        """The image linked for an address, its efi_info, and `info`. Raises InvalidArgs."""
        try:
            placed, efi_info = self._placer.place(address, next_node)
        except PlacementError as error:
            raise InvalidArgs(error.sentence) from error
        return _reply(bodies.octets(placed), bodies.octets(efi_info), self._info)

    def opened(self) -> Reply:
        """The image in a memory file of the caller's own, and `info`. Raises Failed.

        A shared one would share its offset as well.
        """
        data, _ = self._image
        try:
            fd = sealed("kexecprepd-setup-data", data)
        except OSError as error:
            raise Failed(f"No memory file could be made: {error.strerror}.") from error
        return Reply(self._opened, (fd,))

    @cached_property
    def runtime_map(self) -> Reply:
        """Every entry of the kernel's runtime map."""
        return _reply(
            bodies.regions(
                (r.number, r.type, r.phys_addr, r.virt_addr, r.num_pages, r.attribute)
                for r in self._snapshot.runtime_map or ()
            )
        )

    @cached_property
    def memory_map(self) -> Reply:
        """Every entry of the kernel's memory map."""
        return _reply(bodies.ranges(_in_order(self._snapshot.memory_map or ())))

    @cached_property
    def excluded_ranges(self) -> Reply:
        """Memory in which a loader must place nothing, and why."""
        _, snapshot = self._image
        return _reply(bodies.ranges((r.start, r.end, r.why) for r in excluded_ranges(snapshot)))

    @cached_property
    def findings(self) -> Reply:
        """What validation noticed."""
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

    @property
    def _snapshot(self) -> Snapshot:
        if self._handover.snapshot is None:
            raise Invalid(self._handover.assessment.reason)
        return self._handover.snapshot

    @property
    def _image(self) -> tuple[bytes, Snapshot]:
        assessment = self._handover.assessment
        if assessment.state is State.UNSUPPORTED:
            raise Unsupported(assessment.reason)
        if assessment.image is None:
            raise Invalid(assessment.reason)
        return assessment.image, self._snapshot

    @cached_property
    def _info(self) -> Any:
        info = loader_info(self._handover)
        return bodies.record(info.to_wire() if info else {})

    @cached_property
    def _opened(self) -> Any:
        return GLib.Variant.new_tuple(GLib.Variant("h", 0), self._info)

    @cached_property
    def _placer(self) -> Placer:
        return Placer(*self._image)


def _reply(*members: Any) -> Reply:
    return Reply(GLib.Variant.new_tuple(*members))


def _in_order(memory_map: tuple[MemoryRange, ...]) -> list[tuple[int, int, str]]:
    return [(each.start, each.end, each.type) for each in memory_map]
