# SPDX-License-Identifier: LGPL-2.1-or-later
"""loader: what a loader needs, asked for once by a process of its own that connects for it."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

from benchmarks.measuring import MEMORY, Line, Sample, environment, in_turn, run_one
from benchmarks.served import BUS_NAME, MANAGER, OBJECT, Service, built, serving
from benchmarks.trees import tree_of

SIZES = (9, 104)
THREE = ("GetSetupData", "GetMemoryMap", "GetExcludedRanges")
"""What it took before there was GetHandover."""


def run(rounds: int) -> Iterator[tuple[str, list[Line]]]:
    """A C service with the same bytes that asks for the uid is the floor."""
    for size in SIZES:
        yield f"one-shot, {size} regions", _of(size, rounds)


def _of(size: int, rounds: int) -> list[Line]:
    with tempfile.TemporaryDirectory(dir=MEMORY) as name, ExitStack() as stack:
        bench = stack.enter_context(serving(tree_of(size, Path(name) / "root")))
        gdbus = built("gdbus", bench.directory)
        peer = stack.enter_context(bench.peer(1, [gdbus], "asking"))
        around = {**environment(), **bench.bus.environment}
        daemon = Service(BUS_NAME, bench.daemon.pid)

        def asking(service: Service, *methods: str) -> Callable[[], Sample]:
            begin = [str(bench.caller), service.name, OBJECT, MANAGER]
            commands = [[*begin, each, "()", "1", "0"] for each in methods]

            def asked() -> Sample:
                samples = [run_one(command, around) for command in commands]
                return Sample(
                    [sum(each.times[0] for each in samples)], sum(each.cpu for each in samples)
                )

            return asked

        contestants = {
            "C GDBus, GetHandover": asking(peer, "GetHandover"),
            "kexecprepd, GetHandover": asking(daemon, "GetHandover"),
            "kexecprepd, three calls": asking(daemon, *THREE),
        }
        return in_turn(contestants, rounds)
