# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is done to the service while it serves: each alone is harmless, by the tests in tests/vm."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random

from tests.lab.guest import CommandError, Guest
from tests.support import flooder
from tests.vm.service import MANAGER, NAME, PATHS, UNIT, show

FLOODER = "/usr/local/lib/flooder.py"
FLOOD = "flood.service"
FLOOD_CALLS = 20_000
FILLER = "/run/filler"
DIMM_MIB = 128
DIMMS = 4
"""So many at most: the machine has room for 8."""


class Disturber:
    """Does one thing after the other to a guest, and knows what has been done."""

    def __init__(self, guest: Guest, random: Random) -> None:
        self.guest = guest
        self.done = dict.fromkeys(KINDS, 0)
        self.filled = False
        """Whether the cache's disk was full since the last `calm`."""
        self._random = random
        self._dimms: list[str] = []
        guest.write_file(FLOODER, Path(flooder.__file__).read_bytes())
        guest.make_new_memory_removable()

    def disturb(self) -> str:
        """One thing, by chance; its name."""
        kind = self._random.choice([*KINDS])
        KINDS[kind](self)
        self.done[kind] += 1
        return kind

    def calm(self) -> None:
        """Undo what would go on by itself."""
        self.guest.run(["rm", "-f", FILLER])
        self.guest.run(["systemctl", "stop", FLOOD], check=False)
        self.guest.run(["systemctl", "reset-failed", FLOOD], check=False)
        self.filled = False

    def flood(self) -> None:
        """Calls by a user without rights, on four connections, while the rest goes on."""
        replies = self._random.choice(["unwanted", "unread"])
        where = (NAME, PATHS[MANAGER], MANAGER)
        command = ["python3", "-I", FLOODER, str(FLOOD_CALLS), "4", replies, *where]
        options = [f"--unit={FLOOD}", "--uid=tester", "--collect", "--quiet"]
        # One that is under way is enough; and /run may be full.
        self.guest.run(["systemd-run", *options, *command], check=False)

    def restart_bus(self) -> None:
        self.guest.run(["systemctl", "restart", "dbus.service"], check=False)

    def restart_udevd(self) -> None:
        self.guest.run(["systemctl", "restart", "systemd-udevd.service"])

    def trigger_events(self) -> None:
        """Events of every memory block, though nothing has changed."""
        self.guest.run(["udevadm", "trigger", "--subsystem-match=memory", "--action=change"])

    def plug(self) -> None:
        """Plug memory in, or take it out where there is enough of it."""
        if len(self._dimms) < DIMMS and self._random.random() < 0.6:
            self._dimms.append(self.guest.hot_add_memory(DIMM_MIB))
        elif self._dimms:
            self.guest.hot_remove_memory(self._dimms.pop(), timeout=600)

    def kill(self) -> None:
        pid = show(self.guest)["MainPID"]
        if pid != "0":
            self.guest.run(["kill", "-KILL", pid], check=False)

    def stop_and_call(self) -> None:
        """Stop it in order; the next call starts it."""
        self.guest.run(["systemctl", "stop", UNIT], check=False, timeout=600)

    def reload(self) -> None:
        # There may be nothing to reload just now.
        self.guest.run(["systemctl", "reload", UNIT], check=False, timeout=600)

    def ask(self) -> None:
        """What root asks for; it need not be answered in all this."""
        for verb in ("check", "status"):
            try:
                self.guest.run(["kexecprepctl", verb, "--json=short"], timeout=600)
            except CommandError as error:
                if b"Traceback" in error.stderr:
                    raise

    def fill_disk(self) -> None:
        """Leave no room where the cache is."""
        self.filled = True
        self.guest.run(["dd", "if=/dev/zero", f"of={FILLER}", "bs=1M", "status=none"], check=False)


KINDS: Mapping[str, Callable[[Disturber], None]] = {
    "flood": Disturber.flood,
    "restart of the bus": Disturber.restart_bus,
    "restart of udevd": Disturber.restart_udevd,
    "events of memory": Disturber.trigger_events,
    "memory plugged": Disturber.plug,
    "kill -9": Disturber.kill,
    "stop": Disturber.stop_and_call,
    "reload": Disturber.reload,
    "questions": Disturber.ask,
    "full disk": Disturber.fill_disk,
}
