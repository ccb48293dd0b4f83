# SPDX-License-Identifier: LGPL-2.1-or-later
"""What must hold when it is calm again, whatever was done before."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from tests.lab.guest import CommandError, Guest
from tests.vm import expected
from tests.vm.service import UNIT, call, journal, properties, show, wait_for

CACHE = "/run/kexecprepd"
MOST_MORE_FDS = 8
MOST_MORE_KIB = 12_000
"""Than just after the first start. A flood leaves some, which stays the same in the next one:
what grows from one round to the next gets over this."""

_BUG = re.compile(r"Traceback|CRITICAL|Internal error|exception was never retrieved")


@dataclass(frozen=True)
class Size:
    """What the daemon occupies at the moment."""

    pid: str
    fds: int
    pss_kib: int

    @classmethod
    def of(cls, guest: Guest) -> Size:
        """Ask the kernel."""
        pid = show(guest)["MainPID"]
        script = f"ls /proc/{pid}/fd | wc -l; grep ^Pss: /proc/{pid}/smaps_rollup"
        fds, _pss, kib, _unit = guest.run(["sh", "-c", script]).stdout.split()
        return cls(pid, int(fds), int(kib))


def wait_until_calm(guest: Guest) -> None:
    """Wait until it serves, has read what there is, and udevd has nothing to do."""
    guest.run(["udevadm", "settle", "--timeout=120"], timeout=300, check=False)

    def serves() -> bool:
        try:
            # It starts the service where that was stopped.
            state = properties(guest)["State"]
        except CommandError:
            return False
        return bool(state == "ready") and show(guest)["SubState"] == "running"

    wait_for(serves, "the service is ready", timeout=600)


def faults(guest: Guest, first: Size, log: str, *, filled: bool) -> Iterator[str]:
    """A sentence for each that does not hold; `filled` tells that the cache's disk was full."""
    (generation,) = call(guest, "Refresh")
    (again,) = call(guest, "Refresh")
    if again != generation:
        yield f"two readings of the same differ: generation {generation}, then {again}"
    shown = properties(guest)
    if (shown["State"], shown["Generation"]) != ("ready", again):
        yield f"state {shown['State']}, generation {shown['Generation']}, not ready and {again}"
    data, info = call(guest, "GetSetupData")
    image = expected.image(guest)
    digest = hashlib.sha256(image).hexdigest()
    if bytes(data) != image:
        yield "the image is not what sysfs amounts to"
    told = (shown["Sha256"], info["sha256"]["data"], info["generation"]["data"])
    if told != (digest, digest, again):
        yield f"the digest is {digest} of generation {again}, and told is {told}"
    yield from _of_the_cache(guest, image, again, filled=filled)
    size = Size.of(guest)
    if size.fds > first.fds + MOST_MORE_FDS:
        yield f"{size.fds} file descriptors, and {first.fds} at first"
    if size.pss_kib > first.pss_kib + MOST_MORE_KIB:
        yield f"{size.pss_kib} KiB of memory, and {first.pss_kib} at first"
    failed = guest.run(["systemctl", "--failed", "--plain", "--no-legend"]).stdout.strip()
    if failed:
        yield f"units have failed: {failed}"
    if _BUG.search(log):
        yield f"the journal has what should not be there:\n{log}"
    if "oom" in show(guest)["Result"]:
        yield "it was killed for its memory"


def _of_the_cache(guest: Guest, image: bytes, generation: int, *, filled: bool) -> Iterator[str]:
    there = guest.run(["test", "-e", f"{CACHE}/setup_data"], check=False).returncode == 0
    if not there and filled:
        return  # it is written again with the next change
    try:
        cached = guest.read_file(f"{CACHE}/setup_data")
        snapshot = json.loads(guest.read_file(f"{CACHE}/snapshot.json"))
    except CommandError as error:
        yield f"the cache cannot be read: {error}"
        return
    if cached != image:
        yield "the image in the cache is not what sysfs amounts to"
    if (snapshot["generation"], snapshot["sha256"]) != (
        generation,
        hashlib.sha256(image).hexdigest(),
    ):
        yield f"the cache is of generation {snapshot['generation']}, not {generation}"


def log_of(guest: Guest, cursor: str) -> str:
    """What the service has logged since."""
    return journal(guest, UNIT, cursor)
