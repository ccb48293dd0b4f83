# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the daemon is, and what it could reach if it were taken over: by the unit's own sandbox."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.lab.guest import Guest

from .machines import ONCE_EACH, on
from .service import UNIT, show

pytestmark = [pytest.mark.vm, on(ONCE_EACH)]

UNIT_FILE = f"/usr/lib/systemd/system/{UNIT}"
PROBE_UNIT = "probe.service"
PROBE = "/usr/lib/kexecprepd-probe.py"
REPORT = "/run/probe.json"

SECRETS = (
    "/boot/secret",
    "/data/secret",
    "/efi/secret",
    "/etc/NetworkManager/system-connections/wlan.nmconnection",
    "/etc/cryptsetup-keys.d/root.key",
    "/etc/krb5.keytab",
    "/etc/secret",
    "/etc/security/opasswd",
    "/etc/ssh/ssh_host_ed25519_key",
    "/etc/ssl/private/secret.pem",
    "/etc/wireguard/wg0.conf",
    "/home/tester/secret",
    "/media/secret",
    "/mnt/secret",
    "/opt/secret",
    "/root/secret",
    "/run/credentials/other.service/secret",
    "/run/kexecprepctl/secret",
    "/run/secrets/secret",
    "/run/systemd/secret",
    "/run/user/secret",
    "/secret",
    "/srv/secret",
    "/tmp/secret",
    "/usr/local/etc/secret",
    "/usr/local/lib/secret",
    "/var/lib/secret",
    "/var/tmp/secret",
)
"""Files that the test writes, for root alone: of every kind, and where nobody thinks of them."""

THERE_ALREADY = (
    "/etc/machine-id",
    "/etc/shadow",
    "/etc/gshadow",
    "/var/lib/dpkg/status",
    "/dev/vda",
)
"""What every Debian has of the kind, and the disk itself."""

NEEDED = (
    "/sys/firmware/efi/runtime-map/0/type",
    "/sys/firmware/efi/systab",
    "/sys/firmware/memmap/0/start",
    "/sys/kernel/boot_params/data",
)

PLACES = ("/", "/dev/shm", "/etc", "/home", "/run", "/sys/kernel", "/usr/local/bin", "/var/lib")
"""Where the daemon has nothing to write."""

ALL_THERE_IS = {
    "/etc": {"ld.so.cache"},
    "/run": {"credentials", "dbus", "kexecprepd", "systemd"},
    "/run/credentials": {"probe.service"},
    "/run/dbus": {"system_bus_socket"},
    "/run/systemd": {"incoming", "journal", "notify"},
    "/run/systemd/incoming": set[str](),
    "/run/systemd/journal": {"socket"},
    "/sys/firmware/efi/efivars": set[str](),
    "/sys/fs/pstore": set[str](),
    "/sys/kernel/debug": set[str](),
    "/usr/local": set[str](),
}
"""The whole of some folders, as the sandbox has them."""

KEYS_OF_THE_UNIT_S_OWN = (
    *("Type", "BusName", "ExecStart", "ExecReload", "WatchdogSec"),
    *("Restart", "RestartSec", "StartLimitIntervalSec"),
)
"""Those that are no part of the sandbox."""

PROGRAM = f"""
import json, os, resource

def read(path):
    try:
        with open(path, "rb") as file:
            return len(file.read(1)) == 1  # what stands for a hidden file is empty
    except OSError:
        return False

def write(place):
    path = os.path.join(place, "probe-was-here")
    try:
        with open(path, "wb"):
            pass
    except OSError:
        return False
    os.unlink(path)
    return True

def listed(folder):
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []

def owners():
    for name in filter(str.isdecimal, os.listdir("/proc")):
        try:
            yield int(name), os.stat(f"/proc/{{name}}").st_uid
        except FileNotFoundError:
            pass  # it has ended

print(json.dumps({{
    "read": [path for path in {[*SECRETS, *THERE_ALREADY, *NEEDED]!r} if read(path)],
    "written": [path for path in {[*PLACES, "/run/kexecprepd"]!r} if write(path)],
    "listed": {{folder: listed(folder) for folder in {[*ALL_THERE_IS]!r}}},
    "core": resource.getrlimit(resource.RLIMIT_CORE),
    "strangers": sorted(pid for pid, owner in owners() if owner != os.getuid()),
}}))
"""


@dataclass(frozen=True)
class Report:
    """What the probe could read and write, what it saw in folders and of others' processes, and how
    long a core file it could leave.
    """

    read: set[str]
    written: set[str]
    listed: dict[str, set[str]]
    strangers: list[int]
    core: list[int]

    @classmethod
    def of(cls, text: str) -> Report:
        """Take over what the probe printed."""
        told = json.loads(text)
        listed = {folder: set(names) for folder, names in told["listed"].items()}
        return cls(set(told["read"]), set(told["written"]), listed, told["strangers"], told["core"])


@pytest.fixture(scope="module")
def secrets(guest: Guest) -> Iterator[Guest]:
    """The guest with secrets in it, and the probe."""
    for path in SECRETS:
        folder = path.rpartition("/")[0] or "/"
        guest.run(["sh", "-c", f"umask 077 && mkdir -p {folder} && echo >{path}"])
    guest.write_file(PROBE, PROGRAM.encode())
    yield guest
    guest.run(["rm", "-f", *SECRETS, PROBE, REPORT, f"/run/systemd/system/{PROBE_UNIT}"])
    guest.run(["systemctl", "daemon-reload"])


@pytest.fixture(scope="module")
def inside(secrets: Guest) -> Report:
    """What the probe finds in a unit that has the shipped one's settings, line by line."""
    lines = secrets.read_file(UNIT_FILE).decode().splitlines()
    kept = [line for line in lines if line.partition("=")[0] not in KEYS_OF_THE_UNIT_S_OWN]
    assert len(lines) - len(kept) >= len(KEYS_OF_THE_UNIT_S_OWN) - 1
    own = ["[Service]", "Type=oneshot", f"ExecStart=/usr/bin/python3 -I {PROBE}"]
    unit = "\n".join([*kept, *own, f"StandardOutput=file:{REPORT}", ""])
    secrets.write_file(f"/run/systemd/system/{PROBE_UNIT}", unit.encode())
    secrets.run(["systemctl", "daemon-reload"])
    secrets.run(["systemctl", "start", PROBE_UNIT])
    return Report.of(secrets.read_file(REPORT).decode())


@pytest.fixture(scope="module")
def outside(secrets: Guest) -> Report:
    """What it finds with the daemon's user and capability alone."""
    only = "-all,+dac_read_search"
    become = ["setpriv", "--reuid=kexecprepd", "--regid=kexecprepd", "--clear-groups"]
    capable = [f"--inh-caps={only}", f"--ambient-caps={only}", f"--bounding-set={only}"]
    done = secrets.run([*become, *capable, "python3", "-I", PROBE])
    return Report.of(done.stdout)


def test_the_capability_alone_would_read_everything(outside: Report) -> None:
    assert outside.read == {*SECRETS, *THERE_ALREADY, *NEEDED}
    assert len(outside.strangers) > 1


def test_the_sandbox_leaves_what_the_daemon_needs(inside: Report) -> None:
    assert inside.read >= {*NEEDED}


def test_the_sandbox_hides_all_the_rest(inside: Report) -> None:
    assert inside.read & {*SECRETS, *THERE_ALREADY} == set()


def test_the_sandbox_has_nothing_but_what_it_names(inside: Report, outside: Report) -> None:
    assert inside.listed == ALL_THERE_IS
    assert all(inside.listed[folder] < outside.listed[folder] for folder in ("/etc", "/run"))


def test_the_sandbox_leaves_no_core_file(inside: Report) -> None:
    assert inside.core == [0, 0]


def test_the_sandbox_has_one_place_to_write(inside: Report) -> None:
    assert inside.written == {"/run/kexecprepd"}


def test_the_sandbox_hides_the_processes_of_others(inside: Report) -> None:
    assert inside.strangers == []


def test_the_service_is_not_root_and_has_one_capability(guest: Guest) -> None:
    status = guest.read_file(f"/proc/{show(guest)['MainPID']}/status").decode()
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert "0" not in fields["Uid"].split()
    dac_read_search = 1 << 2
    assert {int(fields[name], 16) for name in ("CapEff", "CapPrm", "CapBnd")} == {dac_read_search}
    assert fields["NoNewPrivs"] == "1"


def test_the_exposure_is_low(guest: Guest) -> None:
    guest.run(["systemd-analyze", "security", "--threshold=7", UNIT])


def test_systemd_accepts_the_unit_without_a_word(guest: Guest) -> None:
    done = guest.run(["systemd-analyze", "verify", "--man=no", UNIT_FILE])
    assert done.stdout + done.stderr == ""
