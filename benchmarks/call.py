# SPDX-License-Identifier: LGPL-2.1-or-later
"""call: each method and the properties, against services that say the same bytes."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from benchmarks.measuring import MEMORY, Sample, Table, in_turn
from benchmarks.served import (
    BUS_NAME,
    MANAGER,
    PEERS,
    PROPERTIES,
    PYTHON,
    Bench,
    Missing,
    Service,
    built,
    serving,
)
from benchmarks.trees import RAM, tree_of

SIZES = {9: 60, 200: 60, 6_500: 5}
"""How many calls a round has, by the number of regions."""

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


PYTHONS = {"dbus-fast": "dbus_fast_service.py", "dbus-python": "dbus_python.py"}


def run(rounds: int) -> Iterator[Table]:
    """By size and member; the first of each is the floor."""
    for size, calls in SIZES.items():
        with tempfile.TemporaryDirectory(dir=MEMORY) as name, ExitStack() as stack:
            bench = stack.enter_context(serving(tree_of(size, Path(name) / "root")))
            services, without = _services(bench, stack)
            for member in MEMBERS:
                contestants = _contestants(bench, services, member, calls)
                lines = in_turn(contestants, rounds)
                yield Table(f"{member}, {size:,} regions", lines, without)
                without = {}  # once is enough


def _services(bench: Bench, stack: ExitStack) -> tuple[dict[str, Service], dict[str, str]]:
    """All that can be had here; and why others cannot."""
    gdbus = built("gdbus", bench.directory)
    services = {
        "C GDBus": stack.enter_context(bench.peer(1, [gdbus], "trusting", PLACE)),
        "C GDBus, asks for the uid": stack.enter_context(bench.peer(2, [gdbus], "asking", PLACE)),
        "kexecprepd": Service(BUS_NAME, bench.daemon.pid),
    }
    without = {}

    def add(name: str, number: int, command: Callable[[], list[str | Path]]) -> None:
        try:
            services[name] = stack.enter_context(bench.peer(number, command()))
        except Missing as error:
            without[f"without {name}"] = str(error)

    add("C sd-bus", 3, lambda: [built("sd_bus", bench.directory)])
    for number, (name, script) in enumerate(PYTHONS.items(), start=4):
        add(name, number, partial(_python, script))
    return services, without


def _python(script: str) -> list[str | Path]:
    return [PYTHON, PEERS / script]


def _contestants(
    bench: Bench, services: dict[str, Service], member: str, calls: int
) -> dict[str, Callable[[], Sample]]:
    name, arguments = MEMBERS[member]
    ours = ("C GDBus", "C GDBus, asks for the uid", "kexecprepd")
    return {
        each: partial(bench.call, service, name, arguments, calls)
        for each, service in services.items()
        if member in SIMPLE or each in ours
    }
