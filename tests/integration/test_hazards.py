# SPDX-License-Identifier: LGPL-2.1-or-later
"""What clients can do to a daemon, and what the libraries below it would let them."""

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from gi.repository import Gio, GLib

from kexecprepd.wire.names import BUS_NAME, LOG_CONTROL, LOG_CONTROL_PATH, MANAGER
from tests.support.daemon import Daemon, running
from tests.support.private_bus import PrivateBus
from tests.support.recordings import add_range, remove, set_region

from .client import PROPERTIES, Client, Refused, connected, wait_until

pytestmark = pytest.mark.bus

WARM_UP = 500
CALLS_A_ROUND = 1000
AT_A_TIME = 20
"""Calls that are under way together: made one by one, they take three times as long."""

BYTES_PER_CALL = 150
"""What a call may leave behind on average: less than the smallest object that could leak."""

GET_STATE = GLib.Variant("(ss)", (MANAGER, "State"))


@contextmanager
def a_file() -> Iterator[int]:
    fd = os.memfd_create("test")
    try:
        yield fd
    finally:
        os.close(fd)


Take = Callable[[], object]
"""Waits for the answer of a call, and takes it."""


def get_setup_data(client: Client, fd: int) -> Take:
    return client.begin("GetSetupData").reply


def get_setup_data_with_fd(client: Client, fd: int) -> Take:
    return client.begin("GetSetupData", fd=fd).reply


def get_property_with_fd(client: Client, fd: int) -> Take:
    return client.begin("Get", GET_STATE, interface=PROPERTIES, fd=fd).reply


def get_all_with_fd(client: Client, fd: int) -> Take:
    arguments = GLib.Variant("(s)", (MANAGER,))
    return client.begin("GetAll", arguments, interface=PROPERTIES, fd=fd).reply


def set_property_with_fd(client: Client, fd: int) -> Take:
    value = GLib.Variant("(ssv)", (LOG_CONTROL, "LogLevel", GLib.Variant("s", "info")))
    return client.begin("Set", value, interface=PROPERTIES, path=LOG_CONTROL_PATH, fd=fd).reply


def refused_call_with_fd(client: Client, fd: int) -> Take:
    call = client.begin("PlaceSetupData", GLib.Variant("(tt)", (1, 0)), fd=fd)

    def take() -> None:
        with pytest.raises(Refused):
            call.reply()

    return take


def open_setup_data(client: Client, fd: int) -> Take:
    call = client.begin("OpenSetupData")

    def take() -> None:
        _, fds = call.reply()
        for each in fds.steal_fds():
            os.close(each)

    return take


CALLS = {
    get_setup_data: 20,
    get_setup_data_with_fd: 3,
    get_property_with_fd: 3,
    get_all_with_fd: 3,
    set_property_with_fd: 3,
    refused_call_with_fd: 3,
    open_setup_data: 3,
}
"""What is called, and for how many rounds: a busy machine's loaders ask for years."""


@pytest.mark.parametrize(("call", "rounds"), CALLS.items(), ids=[c.__name__ for c in CALLS])
def test_calls_leave_memory_and_fds_where_they_were(
    daemon: Daemon, client: Client, call: Callable[[Client, int], Take], rounds: int
) -> None:
    def make(count: int, fd: int) -> None:
        for _ in range(count // AT_A_TIME):
            for take in [call(client, fd) for _ in range(AT_A_TIME)]:
                take()
        # The last invocation may still be on its way out when its answer has come.
        client.reply("Describe")

    growths = []
    with a_file() as fd:
        make(WARM_UP, fd)
        open_before = daemon.open_fds()
        for _ in range(rounds):
            before = daemon.resident_bytes()
            make(CALLS_A_ROUND, fd)
            growths.append((daemon.resident_bytes() - before) / CALLS_A_ROUND)
    assert daemon.open_fds() <= open_before
    # An allocator takes its memory in chunks, so one round or the other grows; a leak is in all.
    assert min(growths) < BYTES_PER_CALL, growths


def test_changes_leave_fds_where_they_were(daemon: Daemon, client: Client, tree: Path) -> None:
    client.reply("Refresh")
    before = daemon.open_fds()
    for _ in range(50):
        number = add_range(tree, 1 << 32, (1 << 33) - 1, "System RAM")
        client.reply("Refresh")
        remove(tree, f"sys/firmware/memmap/{number}")
        client.reply("Refresh")
    assert client.get("Generation") == 101
    assert daemon.open_fds() == before


HUGE = "x" * (8 << 20)
DEEP = GLib.Variant("v", GLib.Variant("s", "x"))
for _ in range(50):
    DEEP = GLib.Variant("v", DEEP)

STANDARD = "org.freedesktop.DBus.Error."
OURS = "org.kexecprepd1.Error."

MISTAKES: dict[str, tuple[Callable[[Client], Any], str]] = {
    "arguments for a method without any": (
        lambda c: c.call("GetSetupData", GLib.Variant("(s)", ("x",))),
        STANDARD + "InvalidArgs",
    ),
    "too few arguments": (
        lambda c: c.call("PlaceSetupData", GLib.Variant("(t)", (4096,))),
        STANDARD + "InvalidArgs",
    ),
    "arguments of another type": (
        lambda c: c.call("PlaceSetupData", GLib.Variant("(ss)", ("a", "b"))),
        STANDARD + "InvalidArgs",
    ),
    "a deep variant": (
        lambda c: c.call("Describe", GLib.Variant.new_tuple(DEEP)),
        STANDARD + "InvalidArgs",
    ),
    "the largest numbers": (
        lambda c: c.call("PlaceSetupData", GLib.Variant("(tt)", (2**64 - 1, 2**64 - 1))),
        OURS + "InvalidArgs",
    ),
    "an unknown method": (lambda c: c.call("Nonsense"), STANDARD + "UnknownMethod"),
    "a method of Python's": (lambda c: c.call("__init__"), STANDARD + "UnknownMethod"),
    "an inner method": (lambda c: c.call("show"), STANDARD + "UnknownMethod"),
    "an unknown interface": (
        lambda c: c.call("Describe", interface="org.example.Nonsense"),
        STANDARD + "UnknownMethod",
    ),
    "an unknown object": (
        lambda c: c.call("Describe", path="/org/example"),
        STANDARD + "UnknownMethod",
    ),
    "an unknown property": (lambda c: c.get("Nonsense"), STANDARD + "InvalidArgs"),
    "an attribute of Python's": (lambda c: c.get("__class__"), STANDARD + "InvalidArgs"),
    "properties of an unknown interface": (
        lambda c: c.call("GetAll", GLib.Variant("(s)", ("org.example.No",)), interface=PROPERTIES),
        STANDARD + "InvalidArgs",
    ),
    "setting a read-only property": (
        lambda c: c.call(
            "Set",
            GLib.Variant("(ssv)", (MANAGER, "State", GLib.Variant("s", "ready"))),
            interface=PROPERTIES,
        ),
        STANDARD + "InvalidArgs",
    ),
    "setting another type": (
        lambda c: c.call(
            "Set",
            GLib.Variant("(ssv)", (LOG_CONTROL, "LogLevel", GLib.Variant("u", 7))),
            interface=PROPERTIES,
            path=LOG_CONTROL_PATH,
        ),
        STANDARD + "InvalidArgs",
    ),
    "a huge log level": (lambda c: c.set("LogLevel", HUGE), OURS + "InvalidArgs"),
    "a log level in other letters": (
        lambda c: c.set("LogLevel", "\N{SNOWMAN}\n\x1b[2J"),
        OURS + "InvalidArgs",
    ),
    "an empty log level": (lambda c: c.set("LogLevel", ""), OURS + "InvalidArgs"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_answered_by_an_error(daemon: Daemon, client: Client, mistake: str) -> None:
    call, expected = MISTAKES[mistake]
    with pytest.raises(Refused) as refused:
        call(client)
    assert refused.value.name == expected
    assert client.get("State") == "ready"


def test_a_call_without_an_interface_is_answered(daemon: Daemon, client: Client) -> None:
    # D-Bus lets the interface be left out; GDBus refuses that, and must not fail to answer.
    with pytest.raises(Refused) as refused:
        client.call("Describe", interface=None)
    assert refused.value.name == STANDARD + "UnknownMethod"


def test_mistakes_do_not_fill_the_log(daemon: Daemon, client: Client) -> None:
    before = daemon.stderr
    for _ in range(20):
        for call, _ in MISTAKES.values():
            with pytest.raises(Refused):
                call(client)
    assert daemon.stderr == before


def test_refusals_of_the_map_do_not_fill_the_log(
    daemon: Daemon, client: Client, tree: Path
) -> None:
    set_region(tree, 0, num_pages=0)
    client.call("Refresh")
    before = daemon.stderr
    for _ in range(100):
        with pytest.raises(Refused):
            client.call("GetSetupData")
    client.call("Refresh")
    assert daemon.stderr == before


def test_a_caller_that_leaves_before_the_answer_is_survived(
    bus: PrivateBus, daemon: Daemon, client: Client
) -> None:
    for method in ("GetSetupData", "OpenSetupData", "Refresh"):
        with connected(bus.address) as hasty:
            message = Gio.DBusMessage.new_method_call(BUS_NAME, "/org/kexecprepd1", MANAGER, method)
            hasty.connection.send_message(message, Gio.DBusSendMessageFlags.NONE)
            hasty.connection.flush_sync(None)
    assert client.get("State") == "ready"
    assert "Internal error" not in daemon.stderr


def test_a_call_that_wants_no_answer_is_survived(daemon: Daemon, client: Client) -> None:
    client.get("State")  # with its answer the main loop runs, which has fds of its own
    before = daemon.open_fds()
    for method in ("GetSetupData", "OpenSetupData", "Refresh", "Nonsense"):
        message = Gio.DBusMessage.new_method_call(BUS_NAME, "/org/kexecprepd1", MANAGER, method)
        message.set_flags(Gio.DBusMessageFlags.NO_REPLY_EXPECTED)
        client.connection.send_message(message, Gio.DBusSendMessageFlags.NONE)
    assert client.get("State") == "ready"
    # Who calls is asked of the bus first: what is for root is done a moment later.
    wait_until(lambda: daemon.open_fds() == before, "fds as before")


@pytest.mark.parametrize("flags", [0, 1, 2, 3, 4, 6, 7])
def test_the_name_cannot_be_taken_away(daemon: Daemon, client: Client, flags: int) -> None:
    client.ask_bus("RequestName", GLib.Variant("(su)", (BUS_NAME, flags)))
    client.settle()
    owner = client.ask_bus("GetNameOwner", GLib.Variant("(s)", (BUS_NAME,)))
    assert owner != client.connection.get_unique_name()
    assert client.get("State") == "ready"


def test_a_forged_loss_of_the_name_is_not_believed(
    open_bus: PrivateBus, top: Path, tree: Path
) -> None:
    with (
        running(top, tree, open_bus.environment) as daemon,
        connected(open_bus.address) as client,
    ):
        owner = client.ask_bus("GetNameOwner", GLib.Variant("(s)", (BUS_NAME,)))
        client.connection.emit_signal(
            owner,
            "/org/freedesktop/DBus",
            "org.freedesktop.DBus",
            "NameLost",
            GLib.Variant("(s)", (BUS_NAME,)),
        )
        assert client.get("State") == "ready"
        assert daemon.process.poll() is None


def test_garbage_on_the_bus_socket_is_the_bus_own_business(
    bus: PrivateBus, daemon: Daemon, client: Client
) -> None:
    path = bus.address.removeprefix("unix:path=").partition(",")[0]
    with socket.socket(socket.AF_UNIX) as garbage:
        garbage.connect(path)
        garbage.sendall(b"\0AUTH NONSENSE\r\n" + os.urandom(1000))
    assert client.get("State") == "ready"


def test_python_warns_of_nothing_in_the_daemons_own_modules(
    bus: PrivateBus, top: Path, tree: Path, client: Client
) -> None:
    with running(top, tree, bus.environment, python=["-X", "dev"]) as daemon:
        for call in CALLS:
            with a_file() as fd:
                call(client, fd)()
        client.reply("Refresh")
        daemon.stop()
        warnings = [line for line in daemon.stderr.splitlines() if "Warning" in line]
        assert [line for line in warnings if "/kexecprepd/" in line] == []
