# SPDX-License-Identifier: LGPL-2.1-or-later
"""flood: how root fares, and how much memory goes, while a user calls faster than is answered.

Beside systemd-hostnamed, a service in C on sd-bus, under the same flood, in guests with each bus:
`/usr/bin/python3 benchmarks/flood.py [--suite SUITE] [--bus BUS] [--calls N]`, as root.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

CHECKOUT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(CHECKOUT))

from tests.lab.guest import Guest  # noqa: E402
from tests.lab.image import get_image  # noqa: E402
from tests.support import flooder  # noqa: E402
from tests.support.packages import build_deb  # noqa: E402
from tests.vm.machines import BROKER, DAEMON, Machine  # noqa: E402
from tests.vm.project import install_package  # noqa: E402

FLOODER = "/usr/local/lib/flooder.py"
PROPERTIES = "org.freedesktop.DBus.Properties"


class Victim(NamedTuple):
    """A service, and what root asks it for: interface, method, arguments as text."""

    unit: str
    name: str
    path: str
    interface: str
    call: tuple[str, str, str]


VICTIMS = (
    Victim(
        *("systemd-hostnamed.service", "org.freedesktop.hostname1", "/org/freedesktop/hostname1"),
        "org.freedesktop.hostname1",
        (PROPERTIES, "Get", "('org.freedesktop.hostname1', 'Hostname')"),
    ),
    Victim(
        *("kexecprepd.service", "org.kexecprepd1", "/org/kexecprepd1", "org.kexecprepd1.Manager"),
        ("org.kexecprepd1.Manager", "GetSetupData", "()"),
    ),
)

# Calls as root, one at a time and each for as long as GDBus waits by default, from the first to the
# last that the flooder sends, and until one is answered after that.
PROGRAM = """
import json, subprocess, sys, time
from gi.repository import Gio, GLib

unit, name, path, interface, call, flooder, replies, calls = json.loads(sys.argv[1])
bus = Gio.bus_get_sync(Gio.BusType.SYSTEM)
arguments = GLib.Variant.parse(None, call[2], None, None)

def ask():
    begin = time.monotonic()
    try:
        bus.call_sync(name, path, call[0], call[1], arguments, None, 0, 25000, None)
        answered = True
    except GLib.Error:
        answered = False
    return time.monotonic() - begin, answered

def shown(key):
    command = ["systemctl", "show", "--value", "--property", key, unit]
    return subprocess.run(command, capture_output=True, text=True).stdout.strip()

def peak(pid):
    with open(f"/proc/{pid}/status") as status:
        return int(status.read().partition("VmHWM:")[2].split()[0])

ask()
quiet = [ask()[0] for _ in range(20)]
pid = shown("MainPID")
before = peak(pid)
switch = ["setpriv", "--reuid=tester", "--regid=tester", "--clear-groups", "--reset-env", "--"]
flood = subprocess.Popen(
    [*switch, "python3", "-I", flooder, str(calls), "1", replies, name, path, interface],
    stdout=subprocess.PIPE)
flood.stdout.readline()
begin, during = time.monotonic(), []
while flood.poll() is None:
    during.append(ask())
    time.sleep(0.05)
sent = time.monotonic() - begin
while not (during and during[-1][1]):
    during.append(ask())
same = shown("MainPID") == pid
print(json.dumps({"quiet": quiet, "during": during, "before": before, "sent": sent,
    "after": peak(pid) if same else 0, "same": same}))
"""


def main() -> None:
    """Print a line for each bus, service and kind of flood."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--suite", default="trixie")
    parser.add_argument("--bus", choices=(DAEMON, BROKER), action="append")
    parser.add_argument("--calls", type=int, default=20_000)
    options = parser.parse_args()
    print(f"{options.calls:,} calls; seconds of root's calls, most memory (VmHWM) in KiB")
    print(f"{'':44}{'quiet':>8}{'median':>8}{'longest':>8}{'failed':>8}{'before':>9}{'after':>9}")
    with tempfile.TemporaryDirectory(prefix="kexecprepd-flood-") as folder:
        deb = build_deb(Path(folder) / "deb")
        for bus in options.bus or (DAEMON, BROKER):
            machine = Machine(options.suite, bus)
            with Guest(get_image(machine.suite), append=machine.append) as guest:
                install_package(guest, deb)
                guest.write_file(FLOODER, Path(flooder.__file__).read_bytes())
                for replies in ("unwanted", "unread"):
                    for victim in VICTIMS:
                        found = _flooded(guest, victim, replies, options.calls)
                        what = f"{bus}, {victim.unit.partition('.')[0]}, {replies}"
                        print(_row(what, found), flush=True)


def _flooded(guest: Guest, victim: Victim, replies: str, calls: int) -> dict[str, Any]:
    guest.run(["systemctl", "restart", victim.unit])
    arguments = json.dumps([*victim, FLOODER, replies, calls])
    done = guest.run(["python3", "-I", "-c", PROGRAM, arguments], timeout=1800)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _row(what: str, found: dict[str, Any]) -> str:
    answered = [seconds for seconds, answer in found["during"] if answer]
    failed = sum(not answer for _, answer in found["during"])
    after = f"{found['after']:9}" if found["same"] else "     gone"
    return (
        f"{what:44}{median(found['quiet']):8.3f}{median(answered):8.2f}{max(answered):8.2f}"
        f"{failed:8}{found['before']:9}{after}"
    )


if __name__ == "__main__":
    main()
