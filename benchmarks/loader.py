# SPDX-License-Identifier: LGPL-2.1-or-later
"""loader: what a loader needs from the first moment on, over the bus, from sysfs and the cache."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from benchmarks.measuring import MEMORY, Line, Sample, Table, environment, in_turn, run_one
from benchmarks.served import BUS_NAME, MANAGER, OBJECT, Bench, Service, built, serving
from benchmarks.trees import tree_of

SIZES = (9, 104, 1_000)
CONNECTIONS = 50
THREE = ("GetSetupData", "GetMemoryMap", "GetExcludedRanges")
"""What it took before there was GetHandover."""

BUS, SYSFS = "kexecprepd, GetHandover", "C, from sysfs"


def run(rounds: int) -> Iterator[Table]:
    """From connect on within a process; and as processes of their own, with the break-even."""
    alone: dict[int, Sequence[Line]] = {}
    for size in SIZES:
        with tempfile.TemporaryDirectory(dir=MEMORY) as name, ExitStack() as stack:
            bench = stack.enter_context(serving(tree_of(size, Path(name) / "root")))
            gdbus = built("gdbus", bench.directory)
            peer = stack.enter_context(bench.peer(1, [gdbus], "asking"))
            lines = in_turn(_connecting(bench, peer), rounds)
            yield Table(f"from connect on, {size:,} regions", lines)
            alone[size] = in_turn(_processes(bench, peer), rounds)
            yield Table(f"one-shot process, {size:,} regions", alone[size])
    yield Table("break-even", facts=_break_even(alone))


def _connecting(bench: Bench, peer: Service) -> dict[str, Callable[[], Sample]]:
    daemon = Service(BUS_NAME, bench.daemon.pid)

    def asking(service: Service, *methods: str) -> Callable[[], Sample]:
        member = (MANAGER, ",".join(methods))
        return partial(bench.call, service, member, "()", CONNECTIONS, connect=True)

    return {
        "C GDBus, GetHandover": asking(peer, "GetHandover"),
        "kexecprepd, GetHandover": asking(daemon, "GetHandover"),
        "C GDBus, GetSetupData": asking(peer, "GetSetupData"),
        "kexecprepd, GetSetupData": asking(daemon, "GetSetupData"),
        "C GDBus, three calls": asking(peer, *THREE),
        "kexecprepd, three calls": asking(daemon, *THREE),
    }


def _processes(bench: Bench, peer: Service) -> dict[str, Callable[[], Sample]]:
    around = {**environment(), **bench.bus.environment}
    reader, root = str(built("reader", bench.directory)), str(bench.daemon.root)

    def asking(name: str, method: str) -> Callable[[], Sample]:
        command = [str(bench.caller), name, OBJECT, MANAGER, method, "()", "1", "0", "stay"]
        return partial(run_one, command, around)

    return {
        "C GDBus, GetHandover": asking(peer.name, "GetHandover"),
        BUS: asking(BUS_NAME, "GetHandover"),
        "kexecprepd, GetSetupData": asking(BUS_NAME, "GetSetupData"),
        SYSFS: partial(run_one, [reader, "sysfs", root], around),
        "C, from the cache": partial(run_one, [reader, "cache", root], around),
    }


def _break_even(alone: dict[int, Sequence[Line]]) -> dict[str, float | str]:
    """From how many regions on, and as many ranges, asking the daemon takes less than sysfs."""
    few, many = min(SIZES), max(SIZES)
    facts: dict[str, float | str] = {}
    for what in ("p50", "cpu"):
        bus, sysfs = (
            {size: getattr(_named(name, alone[size]), what) for size in (few, many)}
            for name in (BUS, SYSFS)
        )
        saved = (sysfs[many] - sysfs[few] - bus[many] + bus[few]) / (many - few)
        ahead = bus[few] - sysfs[few]
        if ahead <= 0:
            facts[f"regions, {what}"] = f"{few} or fewer"
        else:
            facts[f"regions, {what}"] = round(few + ahead / saved) if saved > 0 else "none"
    return facts


def _named(name: str, lines: Sequence[Line]) -> Line:
    return next(line for line in lines if line.name == name)
