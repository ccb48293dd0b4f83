# SPDX-License-Identifier: LGPL-2.1-or-later
"""call: each method and the properties, against services that say the same bytes."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

from benchmarks.measuring import MEMORY, Line, Sample, in_turn
from benchmarks.served import (
    BUS_NAME,
    MANAGER,
    PEERS,
    PROPERTIES,
    PYTHON,
    Bench,
    Service,
    built,
    serving,
)
from benchmarks.trees import RAM, tree_of

CALLS = 300
SIZES = (9, 200)
LARGE = (6_500,)
PLACE = f"(uint64 {RAM}, uint64 0)"
MEMBERS = {
    "GetSetupData": ((MANAGER, "GetSetupData"), "()"),
    "GetHandover": ((MANAGER, "GetHandover"), "()"),
    "GetMemoryMap": ((MANAGER, "GetMemoryMap"), "()"),
    "PlaceSetupData": ((MANAGER, "PlaceSetupData"), PLACE),
    "OpenSetupData": ((MANAGER, "OpenSetupData"), "()"),
    "GetAll": ((PROPERTIES, "GetAll"), f"('{MANAGER}',)"),
    "Get": ((PROPERTIES, "Get"), f"('{MANAGER}', 'State')"),
}
SIMPLE = ("GetSetupData", "GetHandover", "GetMemoryMap")
"""The members that every peer has."""


def run(rounds: int, sizes: tuple[int, ...] = SIZES) -> Iterator[tuple[str, list[Line]]]:
    """By size and member; the first of each is the floor."""
    for size in sizes:
        with tempfile.TemporaryDirectory(dir=MEMORY) as name, ExitStack() as stack:
            bench = stack.enter_context(serving(tree_of(size, Path(name) / "root")))
            services = _services(bench, stack)
            for member in MEMBERS:
                yield f"{member}, {size:,} regions", _measured(bench, services, member, rounds)


def _services(bench: Bench, stack: ExitStack) -> dict[str, Service]:
    gdbus = built("gdbus", bench.directory)
    services = {
        "C GDBus": stack.enter_context(bench.peer(1, [gdbus], "trusting", PLACE)),
        "C GDBus, asks for the uid": stack.enter_context(bench.peer(2, [gdbus], "asking", PLACE)),
        "kexecprepd": Service(BUS_NAME, bench.daemon.pid),
    }
    sd_bus = built("sd_bus", bench.directory)
    services["C sd-bus"] = stack.enter_context(bench.peer(3, [sd_bus]))
    script = PEERS / "dbus_python.py"
    try:
        services["dbus-python"] = stack.enter_context(bench.peer(4, [PYTHON, script]))
    except RuntimeError as error:
        print(f"without dbus-python: {error}")
    return services


def _measured(bench: Bench, services: dict[str, Service], member: str, rounds: int) -> list[Line]:
    name, arguments = MEMBERS[member]

    def calling(service: Service) -> Callable[[], Sample]:
        return lambda: bench.call(service, name, arguments, CALLS)

    ours = ("C GDBus", "C GDBus, asks for the uid", "kexecprepd")
    contestants = {
        each: calling(service)
        for each, service in services.items()
        if member in SIMPLE or each in ours
    }
    return in_turn(contestants, rounds)
