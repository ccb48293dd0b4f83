# SPDX-License-Identifier: LGPL-2.1-or-later
"""The service's side of sd_notify(3) and of systemd.service(5), and its last words."""

import errno
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from gi.repository import GLib

from kexecprepd.wire.names import BUS_NAME
from tests.support.customised import customised
from tests.support.daemon import Daemon, run_to_end, running, started
from tests.support.private_bus import OPEN_POLICY, PrivateBus, private_bus
from tests.support.recordings import set_region, write

from .client import Client, wait_until

pytestmark = pytest.mark.bus

STOPPED_AS_IT_ASKS = """
import os, signal
from kexecprepd.wire.bus import Bus

own = Bus.own

def stopped(*arguments):
    os.kill({pid}, signal.SIGSTOP)
    signal.raise_signal(signal.SIGTERM)
    own(*arguments)

Bus.own = stopped
"""
"""The bus is stuck when the daemon asks for its name, and the daemon is told to stop."""


def test_ready_means_that_the_name_is_owned_and_the_map_served(
    bus: PrivateBus, top: Path, tree: Path, client: Client
) -> None:
    with started(top, tree, bus.environment) as daemon:
        ready = daemon.notify.wait_for("READY=1")
        assert client.name_has_owner()
        assert client.get("State") == "ready"
        assert daemon.notify.messages == [ready]
        assert f"STATUS={client.get('Reason')}" in ready.split("\n")
        assert (daemon.cache / "setup_data").exists()


# Python tells of each file that is about to be opened: at one of them it waits for the test.
_HOOK = """
import os, sys

def about_to_open(event, arguments):
    if event == "open" and str(arguments[0]) == os.environ["HELD_FILE"]:
        try:
            with open(os.environ["HOLD"]) as pipe:
                pipe.read()
        except FileNotFoundError:
            pass

sys.addaudithook(about_to_open)
"""


class Hold:
    """Has a daemon with this environment wait at a file, while a block says so."""

    def __init__(self, top: Path, file: Path, environment: dict[str, str]) -> None:
        """Keep what it takes in `top`."""
        self._pipe = top / "hold"
        hooks = top / "hooks"
        hooks.mkdir()
        (hooks / "sitecustomize.py").write_text(_HOOK)
        own = {"PYTHONPATH": str(hooks), "HELD_FILE": str(file), "HOLD": str(self._pipe)}
        self.environment = {**environment, **own}

    @contextmanager
    def held_back(self) -> Iterator[Callable[[], None]]:
        """Make it wait until the block ends; gives what waits for it to have come there."""
        os.mkfifo(self._pipe)
        writers: list[int] = []

        def has_reader() -> bool:
            try:
                writers.append(os.open(self._pipe, os.O_WRONLY | os.O_NONBLOCK))
            except OSError as error:
                if error.errno != errno.ENXIO:  # which says that there is none yet
                    raise
            return bool(writers)

        try:
            yield lambda: wait_until(has_reader, "the daemon at the file")
        finally:
            self._pipe.unlink()
            for fd in writers:
                os.close(fd)


def test_nothing_is_claimed_while_sysfs_is_still_being_read(
    bus: PrivateBus, top: Path, tree: Path, client: Client
) -> None:
    hold = Hold(top, tree / "proc/version", bus.environment)
    with ExitStack() as stack:
        with hold.held_back() as wait_for_reader:
            daemon = stack.enter_context(started(top, tree, hold.environment))
            wait_for_reader()
            assert daemon.notify.drain() == []
            assert not client.name_has_owner()
        daemon.notify.wait_for("READY=1")


def test_ready_is_not_sent_without_the_name(
    bus: PrivateBus, top: Path, tree: Path, client: Client
) -> None:
    assert client.ask_bus("RequestName", GLib.Variant("(su)", (BUS_NAME, 0))) == 1
    status, daemon = run_to_end(top, tree, bus.environment)
    assert status == 1
    assert daemon.notify.messages == []


def test_the_status_line_follows_the_state_in_plain_ascii(
    daemon: Daemon, client: Client, tree: Path
) -> None:
    set_region(tree, 0, num_pages=0)
    client.call("Refresh")
    status = daemon.notify.wait_for("STATUS=")
    assert status == f"STATUS={client.get('Reason')}"
    assert status.isascii()


def test_a_tree_with_another_name_still_makes_an_ascii_status(
    bus: PrivateBus, top: Path, tree: Path
) -> None:
    (tree / "sys/firmware/efi/systab").unlink()
    elsewhere = tree.rename(top / "ein\N{LATIN SMALL LETTER O WITH DIAERESIS} \N{SNOWMAN}")
    with running(top, elsewhere, bus.environment) as daemon:
        ready, *_ = daemon.notify.messages
        assert ready.isascii()
        assert "systab: it is missing" in ready


def watchdog(usec: int, pid: str) -> list[str]:
    """A wrapper that has systemd's two variables set, with the service's own pid as $$."""
    script = f'WATCHDOG_USEC={usec} WATCHDOG_PID={pid} exec "$@"'
    return ["sh", "-c", script, "sh"]


@pytest.mark.parametrize("pid", ["$$", ""])
def test_the_watchdog_is_fed(bus: PrivateBus, top: Path, tree: Path, pid: str) -> None:
    with running(top, tree, bus.environment, wrapper=watchdog(200_000, pid)) as daemon:
        for _ in range(5):
            daemon.notify.wait_for("WATCHDOG=1")


def test_a_watchdog_of_another_process_is_not_fed(
    bus: PrivateBus, top: Path, tree: Path, client: Client
) -> None:
    # A millisecond's watchdog: it would have been fed many times by the end.
    with running(top, tree, bus.environment, wrapper=watchdog(1000, "1")) as daemon:
        for _ in range(3):
            daemon.process.send_signal(signal.SIGHUP)
            daemon.notify.wait_for("READY=1")
        assert daemon.stop() == 0
        assert not [each for each in daemon.notify.drain() if "WATCHDOG" in each]


def test_a_stuck_main_loop_starves_the_watchdog(bus: PrivateBus, top: Path, tree: Path) -> None:
    hold = Hold(top, tree / "proc/version", bus.environment)
    with running(top, tree, hold.environment, wrapper=watchdog(200_000, "$$")) as daemon:
        with hold.held_back() as wait_for_reader:
            daemon.process.send_signal(signal.SIGHUP)
            wait_for_reader()
            with pytest.raises(TimeoutError):
                daemon.notify.wait_for_new(deadline=0.5)  # the time of five pulses
        daemon.notify.wait_for("WATCHDOG=1")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_in_order(daemon: Daemon, client: Client, number: signal.Signals) -> None:
    daemon.process.send_signal(number)
    assert daemon.wait() == 0
    daemon.notify.drain()
    assert daemon.notify.messages[-1].startswith("STOPPING=1\n")
    wait_until(lambda: not client.name_has_owner(), "the name to be free")
    assert (daemon.cache / "setup_data").exists()  # late shutdown wants it


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_can_be_stopped_as_soon_as_it_has_its_name(
    bus: PrivateBus, top: Path, tree: Path, client: Client, number: signal.Signals
) -> None:
    write(tree, "proc/cmdline", "x" * (8 << 20))  # so that writing the cache takes its time
    with started(top, tree, bus.environment) as daemon:
        wait_until(client.name_has_owner, "the name")
        daemon.process.send_signal(number)
        assert daemon.wait() == 0


def test_it_can_be_stopped_while_it_waits_for_its_name(
    bus: PrivateBus, top: Path, tree: Path
) -> None:
    program = STOPPED_AS_IT_ASKS.format(pid=bus.process.pid)
    environment = {**bus.environment, "PYTHONPATH": customised(top / "customised", program)}
    try:
        status, _ = run_to_end(top, tree, environment)
    finally:
        bus.process.send_signal(signal.SIGCONT)
    assert status == 0


def test_it_runs_without_a_notify_socket(
    bus: PrivateBus, top: Path, tree: Path, client: Client
) -> None:
    with started(top, tree, bus.environment, wrapper=["env", "-u", "NOTIFY_SOCKET"]) as daemon:
        wait_until(client.name_has_owner, "the name")
        assert client.get("State") == "ready"
        assert daemon.stop() == 0


def test_without_a_bus_it_says_so_and_fails(top: Path, tree: Path) -> None:
    environment = {**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": "unix:path=/nonexistent"}
    status, daemon = run_to_end(top, tree, environment)
    assert status == 1
    (sentence,) = daemon.stderr.splitlines()
    assert sentence.startswith("the system bus cannot be reached: ")
    assert daemon.notify.messages == []
    assert not daemon.cache.exists()


def test_a_bus_that_dies_ends_it_with_words_and_status_1(bus: PrivateBus, daemon: Daemon) -> None:
    bus.kill()
    assert daemon.wait() == 1
    assert "connection to the bus is lost" in daemon.stderr


def test_a_bus_that_dies_first_does_not_hinder_a_stop(bus: PrivateBus, daemon: Daemon) -> None:
    daemon.process.send_signal(signal.SIGSTOP)
    bus.kill()
    daemon.process.send_signal(signal.SIGTERM)
    daemon.process.send_signal(signal.SIGCONT)
    assert daemon.wait() in (0, 1)


def test_a_policy_that_forbids_the_name_is_told(top: Path, tree: Path) -> None:
    closed = OPEN_POLICY.replace('<allow own="*"/>', "")
    with private_bus(top, closed) as bus:
        status, daemon = run_to_end(top, tree, bus.environment)
    assert status == 1
    assert f"the name {BUS_NAME} cannot be owned" in daemon.stderr
