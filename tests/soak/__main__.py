# SPDX-License-Identifier: LGPL-2.1-or-later
"""A guest in which everything happens at once, round by round; after each it is looked at.

As root, with what `packaging/test --vm` installs. The seed decides what happens in which order, and
the machine when.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from pathlib import Path
from random import Random

from tests.lab.environment import console_log
from tests.lab.guest import Guest, GuestError
from tests.lab.image import get_image
from tests.support.packages import build_deb
from tests.vm.machines import BROKER, DAEMON, Machine
from tests.vm.project import install_package
from tests.vm.service import cursor_now, properties

from .disturbances import Disturber
from .invariants import Size, faults, log_of, wait_until_calm

AT_ONCE = 6
"""Disturbances of a round; a flood goes on beside the others."""


def main() -> int:
    """0 where everything held, 1 where something did not."""
    parser = argparse.ArgumentParser(prog="python3 -m tests.soak", description=__doc__)
    parser.add_argument("minutes", type=float, nargs="?", default=30)
    parser.add_argument("--suite", default="trixie")
    parser.add_argument("--bus", choices=(DAEMON, BROKER), default=DAEMON)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # As a shell's background job has it: this one is to tell its figures all the same.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    machine = Machine(options.suite, options.bus)
    with (
        tempfile.TemporaryDirectory(prefix="kexecprepd-soak-") as folder,
        Guest(
            get_image(machine.suite), append=machine.append, log=console_log(f"soak-{machine}")
        ) as guest,
    ):
        install_package(guest, build_deb(Path(folder) / "deb"))
        return soak(guest, Random(options.seed), options.minutes * 60)


def soak(guest: Guest, random: Random, seconds: float) -> int:
    """Rounds until the time is over, or something is wrong; the exit status."""
    wait_until_calm(guest)
    _tell(f"begun at {time.strftime('%H:%M:%S')}")
    begin, rounds, generation = time.monotonic(), 0, 0
    first = Size.of(guest)
    sizes = [first]
    disturber = Disturber(guest, random)
    wrong: list[str] = []
    try:
        while time.monotonic() - begin < seconds and not wrong:
            cursor = cursor_now(guest)
            kinds = [disturber.disturb() for _ in range(AT_ONCE)]
            filled = disturber.filled
            disturber.calm()
            wait_until_calm(guest)
            wrong = list(faults(guest, first, log_of(guest, cursor), filled=filled))
            generation = properties(guest)["Generation"]
            rounds += 1
            sizes.append(Size.of(guest))
            size = f"{sizes[-1].fds} descriptors, {sizes[-1].pss_kib} KiB"
            _tell(f"round {rounds}: {', '.join(kinds)}: {size}: {wrong or 'all holds'}")
    except KeyboardInterrupt:
        _tell("interrupted")
    except (GuestError, AssertionError) as error:
        wrong.append(f"in round {rounds + 1}: {error}")
    _tell(f"{rounds} rounds in {(time.monotonic() - begin) / 60:.1f} minutes")
    _tell("; ".join(f"{count} x {kind}" for kind, count in disturber.done.items()))
    fds, pss = ([getattr(each, name) for each in sizes] for name in ("fds", "pss_kib"))
    _tell(f"file descriptors {fds[0]} at first, {max(fds)} at most, {fds[-1]} at the end")
    _tell(f"PSS {pss[0]} KiB at first, {max(pss)} at most, {pss[-1]} at the end")
    _tell(f"processes of the daemon that were looked at: {len({each.pid for each in sizes})}")
    if not wrong:
        _tell(f"generation {generation} at the end; everything held")
    for each in wrong:
        print(f"soak: {each}", file=sys.stderr)
    return 1 if wrong else 0


def _tell(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
