# SPDX-License-Identifier: LGPL-2.1-or-later
"""The service in a guest, seen from outside: over the real bus, by systemd and in the journal."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.lab.guest import Guest

UNIT = "kexecprepd.service"
NAME = "org.kexecprepd1"
MANAGER = f"{NAME}.Manager"
PROPERTIES = "org.freedesktop.DBus.Properties"
LOG_CONTROL = "org.freedesktop.LogControl1"
PATHS = {MANAGER: "/org/kexecprepd1", LOG_CONTROL: "/org/freedesktop/LogControl1"}
DROP_INS = f"/run/systemd/system/{UNIT}.d"

_READINGS = 5

ROOT_ONLY = {
    "GetSetupData": (),
    "PlaceSetupData": ("uint64:16777216", "uint64:0"),
    "GetHandover": (),
    "OpenSetupData": (),
    "GetRuntimeMap": (),
    "GetMemoryMap": (),
    "GetExcludedRanges": (),
    "GetFindings": (),
    "Refresh": (),
}
"""The methods that are for root alone, with arguments as dbus-send takes them."""


def wait_for(condition: Callable[[], bool], what: str, timeout: float = 180) -> None:
    """Ask again until the condition holds."""
    end, pause = time.monotonic() + timeout, 0.1
    while not condition():
        assert time.monotonic() < end, f"{what}: still not so after {timeout:g} s"
        time.sleep(pause)
        # Asking takes the guest's only processor from what is waited for.
        pause = min(1.5 * pause, 1)


def show(guest: Guest, unit: str = UNIT) -> dict[str, str]:
    """A unit's properties, as systemd has them at this moment."""
    lines = guest.run(["systemctl", "show", unit]).stdout.splitlines()
    return {name: value for name, _, value in (line.partition("=") for line in lines)}


def wait_until_running(guest: Guest, after: dict[str, str]) -> dict[str, str]:
    """Wait until systemd has restarted the service by itself; its properties then."""

    def again() -> bool:
        shown = show(guest)
        return (
            int(shown["NRestarts"]) > int(after["NRestarts"]) and shown["ActiveState"] == "active"
        )

    wait_for(again, "the service runs again")
    return show(guest)


def journal(guest: Guest, unit: str = UNIT, after: str = "", *options: str) -> str:
    """A unit's log, from a place on that `cursor_now` has told."""
    cursor = [f"--after-cursor={after}"] if after else []
    return read_journal(guest, "--output=cat", f"--unit={unit}", *cursor, *options)


def read_journal(guest: Guest, *options: str) -> str:
    """What journalctl prints, of all that was sent to the journal up to now."""
    script = 'journalctl --sync || exit 2; exec journalctl "$@"'
    for _ in range(_READINGS):
        done = guest.run(["sh", "-c", script, "sh", *options], check=False)
        assert done.returncode in (0, 1), done.stderr  # with 1, in 252, when there is nothing
        # Lines that could not be read would look like lines that were never written: a file that
        # grows between two looks of journalctl at it is called truncated, and left out.
        if "ignoring file" not in done.stderr:
            return done.stdout
    raise AssertionError(done.stderr)


def wait_for_log(guest: Guest, text: str, after: str = "") -> str:
    """Wait until the unit's log has a text, which comes a little later than what it tells of."""
    wait_for(lambda: text in journal(guest, after=after), f"the journal has {text!r}")
    return journal(guest, after=after)


def bus_journal(guest: Guest) -> str:
    """The log of whichever bus there is."""
    units = ("--unit=dbus.service", "--unit=dbus-broker.service")
    return read_journal(guest, "--output=cat", *units)


def cursor_now(guest: Guest, unit: str = UNIT) -> str:
    """Where a unit's log ends at present; empty where there is none yet.

    Of that unit alone: systemd 252 leaves out the first entry after a cursor that is of another.
    """
    shown = read_journal(guest, "--lines=1", "--show-cursor", f"--unit={unit}")
    return shown.rpartition("-- cursor: ")[2].strip() if "-- cursor: " in shown else ""


# As long as a command may run: the 25 s of its own are soon over behind another user's thousands
# of calls, on an emulated processor that has to share its host's.
_CALL = ("busctl", "--json=short", "--timeout=180", "call")


def call(guest: Guest, member: str, *arguments: str) -> list[Any]:
    """What a method answers to root, arguments as busctl takes them. Raises CommandError."""
    command = [*_CALL, NAME, PATHS[MANAGER], MANAGER, member]
    data: list[Any] = json.loads(guest.run([*command, *arguments]).stdout)["data"]
    return data


def properties(guest: Guest, user: str | None = None) -> dict[str, Any]:
    """Every property of Manager, by its name."""
    command = [*_CALL, NAME, PATHS[MANAGER], PROPERTIES, "GetAll"]
    done = guest.run([*command, "s", MANAGER], user=user)
    return {name: each["data"] for name, each in json.loads(done.stdout)["data"][0].items()}


@dataclass(frozen=True)
class Call:
    """A method call; the arguments as dbus-send takes them."""

    member: str
    arguments: tuple[str, ...] = ()
    path: str = PATHS[MANAGER]


@dataclass(frozen=True)
class Answer:
    """What a call brought: an error's name or None, and all the text that came with it."""

    error: str | None
    text: str


def ask(guest: Guest, calls: Sequence[Call], user: str | None = None) -> list[Answer]:
    """Make calls one after the other, each on a connection of its own."""
    command = ["dbus-send", "--system", "--print-reply", f"--dest={NAME}"]
    lines = (shlex.join([*command, each.path, each.member, *each.arguments]) for each in calls)
    script = "".join(f"{line} 2>&1; printf '\\0'\n" for line in lines)
    texts = guest.run(["sh", "-c", script], user=user, timeout=900).stdout.split("\0")[:-1]
    return [_answer(text) for text in texts]


def _answer(text: str) -> Answer:
    if not text.startswith("Error "):
        return Answer(None, text)
    error, _, words = text.removeprefix("Error ").partition(": ")
    return Answer(error, words)


def root_only_calls() -> list[Call]:
    """A well-formed call of all that is for root alone."""
    set_level = (f"string:{LOG_CONTROL}", "string:LogLevel", "variant:string:info")
    return [
        *(Call(f"{MANAGER}.{member}", ROOT_ONLY[member]) for member in ROOT_ONLY),
        Call(f"{PROPERTIES}.Set", set_level, PATHS[LOG_CONTROL]),
    ]


@contextmanager
def drop_in(guest: Guest, name: str, content: str) -> Iterator[None]:
    """The service with settings added: restarted with them, and without them again afterwards."""
    path = f"{DROP_INS}/{name}.conf"
    restart = ["sh", "-c", f"systemctl daemon-reload && systemctl restart {UNIT}"]
    guest.write_file(path, content.encode())
    try:
        guest.run(restart)
        yield
    finally:
        take_away(guest, path)
        guest.run(restart)


def take_away(guest: Guest, drop_in: str) -> None:
    """Remove a drop-in, and the folder that was made for it."""
    guest.run(["rm", drop_in])
    guest.run(["rmdir", "--ignore-fail-on-non-empty", DROP_INS])


Changes = Callable[[], list[dict[str, Any]]]


@contextmanager
def watching(guest: Guest) -> Iterator[Changes]:
    """`kexecprepctl watch` of an unprivileged user; call the value for what it printed so far."""
    unit = "kexecprep-watch"
    start = cursor_now(guest, unit)
    watch = ["kexecprepctl", "watch", "--json=short"]
    guest.run(["systemd-run", f"--unit={unit}", "--uid=tester", *watch])
    try:
        wait_for(lambda: "Watching" in journal(guest, unit, start), "watch has begun")
        yield lambda: [
            json.loads(line)
            for line in journal(guest, unit, start).splitlines()
            if line.startswith("{")
        ]
    finally:
        guest.run(["systemctl", "stop", unit])
