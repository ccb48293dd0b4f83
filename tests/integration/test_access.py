# SPDX-License-Identifier: LGPL-2.1-or-later
"""Who may do what: by the bus' policy and, where there is none, by the daemon itself."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest

from kexecprepd.wire.names import LOG_CONTROL, MANAGER
from tests.support.daemon import Daemon, running
from tests.support.private_bus import PrivateBus
from tests.support.recordings import add_range, patch, remove, set_region, write
from tests.support.secrecy import assert_no_address

from .client import PATHS, PROPERTIES, Client
from .unprivileged import SETPRIV, Answer, Call, ask, listening

pytestmark = pytest.mark.bus

DBUS = Path(__file__).parents[2] / "dbus"
PRIVILEGED = "org.freedesktop.systemd1.Privileged"
INTROSPECTABLE = "org.freedesktop.DBus.Introspectable"
ZERO = {"t": "uint64 0", "s": "''", "u": "uint32 0"}


def members(interface: str, kind: str, privileged: bool) -> list[ElementTree.Element]:
    """The methods or properties that the XML declares for root alone, or for everyone."""
    top = ElementTree.parse(DBUS / f"{interface}.xml")
    marked = f"annotation[@name='{PRIVILEGED}'][@value='true']"
    return [each for each in top.iter(kind) if (each.find(marked) is not None) is privileged]


def call_of(method: ElementTree.Element) -> Call:
    """A well-formed call of a method of Manager."""
    arguments = [ZERO[arg.attrib["type"]] for arg in method.findall("arg[@direction='in']")]
    text = f"({', '.join(arguments)}{',' if len(arguments) == 1 else ''})"
    return Call(PATHS[MANAGER], MANAGER, method.attrib["name"], text)


PRIVILEGED_CALLS = [
    *(call_of(method) for method in members(MANAGER, "method", True)),
    *(
        Call(
            PATHS[LOG_CONTROL],
            PROPERTIES,
            "Set",
            f"('{LOG_CONTROL}', '{each.attrib['name']}', <'debug'>)",
        )
        for each in members(LOG_CONTROL, "property", True)
    ),
]

OPEN_CALLS = [
    *(call_of(method) for method in members(MANAGER, "method", False)),
    *(
        Call(PATHS[interface], PROPERTIES, "Get", f"('{interface}', '{each.attrib['name']}')")
        for interface in (MANAGER, LOG_CONTROL)
        for privileged in (False, True)
        for each in members(interface, "property", privileged)
    ),
    *(Call(PATHS[each], PROPERTIES, "GetAll", f"('{each}',)") for each in (MANAGER, LOG_CONTROL)),
    *(Call(PATHS[each], INTROSPECTABLE, "Introspect") for each in (MANAGER, LOG_CONTROL)),
    Call(PATHS[MANAGER], "org.freedesktop.DBus.Peer", "Ping"),
]


def test_the_policy_refuses_root_only_members(bus: PrivateBus, daemon: Daemon) -> None:
    assert len(PRIVILEGED_CALLS) == 9 + 2
    answers = ask(bus, PRIVILEGED_CALLS)
    assert {answer.error for answer in answers} == {"org.freedesktop.DBus.Error.AccessDenied"}


def test_the_daemon_refuses_them_where_the_policy_does_not(
    open_bus: PrivateBus, top: Path, tree: Path
) -> None:
    with running(top, tree, open_bus.environment) as daemon:
        # A change that Refresh() would see, were it let in.
        add_range(tree, 0x1_0000_0000, 0x1_3FFF_FFFF, "System RAM")
        answers = ask(open_bus, PRIVILEGED_CALLS)
        assert {answer.error for answer in answers} == {"org.kexecprepd1.Error.AccessDenied"}
        state = json.loads(
            ask(open_bus, [Call(PATHS[MANAGER], MANAGER, "Describe")])[0].text[1:-2].strip("'")
        )
        assert state["Generation"] == 1
        assert "denied" not in daemon.stderr.lower()  # anyone could fill the journal so


def test_root_may_use_every_member(bus: PrivateBus, daemon: Daemon, client: Client) -> None:
    for method in members(MANAGER, "method", True):
        if not method.findall("arg[@direction='in']"):
            client.reply(method.attrib["name"])
    client.set("LogLevel", "debug")


def test_everyone_may_read_what_is_for_all(bus: PrivateBus, daemon: Daemon) -> None:
    answers = dict(zip(OPEN_CALLS, ask(bus, OPEN_CALLS), strict=True))
    assert {call: answer for call, answer in answers.items() if answer.error} == {}


def test_everyone_hears_of_a_change(
    bus: PrivateBus, daemon: Daemon, client: Client, tree: Path
) -> None:
    with listening(bus) as lines:
        add_range(tree, 0x1_0000_0000, 0x1_3FFF_FFFF, "System RAM")
        client.call("Refresh")
        signals = [json.loads(lines.next()) for _ in range(2)]
    assert [member for member, _ in signals] == [
        f"{PROPERTIES}.PropertiesChanged",
        f"{MANAGER}.MapChanged",
    ]
    assert_no_address("".join(text for _, text in signals), addresses(tree))


def test_nobody_but_root_may_own_the_name(bus: PrivateBus) -> None:
    call = Call(
        "/org/freedesktop/DBus",
        "org.freedesktop.DBus",
        "RequestName",
        "('org.kexecprepd1', uint32 0)",
        destination="org.freedesktop.DBus",
    )
    assert ask(bus, [call])[0].error == "org.freedesktop.DBus.Error.AccessDenied"


def test_the_cache_is_out_of_reach_of_everyone_but_root(daemon: Daemon) -> None:
    assert daemon.cache.stat().st_mode & 0o777 == 0o700
    for name in ("setup_data", "snapshot.json"):
        assert (daemon.cache / name).stat().st_mode & 0o777 == 0o400
        command = [*SETPRIV, "cat", os.fspath(daemon.cache / name)]
        done = subprocess.run(command, capture_output=True, check=False)
        assert (done.returncode, done.stdout) == (1, b"")


# No address in what everyone can get.


EFI_FILES = ("fw_vendor", "runtime", "config_table", "systab")


def addresses(root: Path) -> set[int]:
    """Every address that the tree holds."""
    files = [
        *(root / "sys/firmware/efi/runtime-map").glob("*/*_addr"),
        *(root / "sys/firmware/memmap").glob("*/start"),
        *(root / "sys/firmware/memmap").glob("*/end"),
        *(root / "sys/firmware/efi" / name for name in EFI_FILES),
    ]
    found: set[int] = set()
    for file in files:
        if file.is_file():
            found |= {int(each, 16) for each in re.findall(r"0x[0-9a-f]+", file.read_text())}
    return found


def _break_region(root: Path) -> None:
    set_region(root, 0, num_pages=0)
    set_region(root, 1, phys_addr=0x1234_5678)
    set_region(root, 2, virt_addr=0x1000)


def _overlap(root: Path) -> None:
    text = (root / "sys/firmware/efi/runtime-map/1/phys_addr").read_text()
    set_region(root, 2, phys_addr=int(text, 16))


def _lose_runtime(root: Path) -> None:
    write(root, "sys/firmware/efi/runtime", "0xffffffff12345678\n")


def _garble(root: Path) -> None:
    write(root, "sys/firmware/efi/runtime-map/0/phys_addr", "0x3f4ec000 0x12345\n")


def _garble_systab(root: Path) -> None:
    write(root, "sys/firmware/efi/systab", "ACPI20=0x3f77d014\nACPI20=0x3f77d014\n")


def _lose_file(root: Path) -> None:
    remove(root, "sys/firmware/efi/runtime-map/3/virt_addr")


def _bad_efi_info(root: Path) -> None:
    patch(root, "sys/kernel/boot_params/data", 0x1C0, b"NOPE")


def _without_efi(root: Path) -> None:
    remove(root, "sys/firmware/efi")


STATES: dict[str, tuple[Callable[[Path], None], str]] = {
    "ready": (lambda _root: None, "ready"),
    "degraded": (_lose_runtime, "degraded"),
    "broken-regions": (_break_region, "invalid"),
    "overlap": (_overlap, "invalid"),
    "bad-efi-info": (_bad_efi_info, "invalid"),
    "malformed": (_garble, "invalid"),
    "malformed-systab": (_garble_systab, "invalid"),
    "missing-file": (_lose_file, "invalid"),
    "unsupported": (_without_efi, "unsupported"),
}


@pytest.mark.parametrize("state", STATES)
def test_no_address_gets_out_to_everyone(
    bus: PrivateBus, top: Path, tree: Path, client: Client, state: str
) -> None:
    damage, expected = STATES[state]
    known = addresses(tree)
    damage(tree)
    known |= addresses(tree)
    with running(top, tree, bus.environment, arguments=["--debug"]) as daemon:
        assert client.get("State") == expected
        answers = ask(bus, [*OPEN_CALLS, *PRIVILEGED_CALLS])
        assert_no_address(said(OPEN_CALLS, answers), known)
        # What only some users see, but none of them needs to be root for: log and status line.
        client.call("Refresh")
        assert_no_address(daemon.stderr.replace(str(top), ""), known)
        for message in daemon.notify.drain():
            assert_no_address(message.replace(str(top), ""), known)


def said(calls: list[Call], answers: list[Answer]) -> str:
    """All texts in one, without the documentation, which writes offsets as hexadecimal."""
    texts = [answer.text for answer in answers]
    for number, call in enumerate(calls):
        if call.method == "Introspect":
            texts[number] = ""
    return "\n".join(texts)


def test_the_unprivileged_program_is_really_unprivileged() -> None:
    command = [*SETPRIV, sys.executable, "-c", "import os; print(os.getresuid(), os.getgroups())"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd="/")
    assert done.stdout == "(65534, 65534, 65534) []\n"


def test_the_address_check_would_find_one() -> None:
    for text in ("at 0x1000", "at 1065271296", "at 3f7ec000"):
        with pytest.raises(AssertionError):
            assert_no_address(text, {0x3F7E_C000})
    assert_no_address("generation 17", {0x3F7E_C000})
