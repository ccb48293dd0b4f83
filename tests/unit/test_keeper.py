# SPDX-License-Identifier: LGPL-2.1-or-later
"""The daemon has systemd keep one file: the present one, once, and until systemd has it."""

import gc
import json
import logging
import os
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kexecprepd.core.finding import State
from kexecprepd.core.generation import Handover, first
from kexecprepd.core.keepsake import Keepsake, parse
from kexecprepd.core.origin import Origin, StartedBy
from kexecprepd.core.receipt import Unusable
from kexecprepd.core.timestamp import Timestamp
from kexecprepd.daemon import memfd, notify
from kexecprepd.daemon.keepsake import Keeper
from kexecprepd.daemon.notify import Notifier
from tests.support.clock import Clock
from tests.support.file_store import ALL_SEALS, NAME
from tests.support.keepsakes import BEFORE, OWN
from tests.support.notify_socket import NotifySocket
from tests.support.recordings import BOOT_ID, FIRST_KERNEL, materialise, set_region
from tests.support.snapshots import read_snapshot

# sdnotify leaves it to Python to close its socket.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")

FIRST = Origin(StartedBy.BOOT_LOADER, None)
TAKEN = Timestamp(realtime=1_800_000_000_000_000, monotonic=5_000_000)


@pytest.fixture(autouse=True)
def nothing_left_to_other_tests() -> Iterator[None]:
    """A keeper is in a cycle with its timer: collected here, where its socket may be unclosed."""
    yield
    gc.collect()


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a service whose files systemd keeps finds it."""
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    monkeypatch.setenv("FDSTORE", "2")
    return tmp_path / "notify"


@pytest.fixture
def systemd(path: Path) -> Iterator[NotifySocket]:
    """It keeps what it is given, and gives nothing back."""
    listening = NotifySocket(path)
    yield listening
    listening.close()


@pytest.fixture
def busy(path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """Systemd while it reads nothing, which is soon given up on."""
    monkeypatch.setattr(notify, "_PATIENCE_SECONDS", 0.01)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as busy:
        busy.bind(str(path))
        yield busy


@pytest.fixture
def handover(tmp_path: Path) -> Handover:
    return first(read_snapshot(materialise(FIRST_KERNEL, tmp_path / "root")), BOOT_ID, TAKEN)


def kept_by(systemd: NotifySocket) -> dict[str, Any]:
    """What is in the one file that there is, which is one that the next daemon can use."""
    systemd.drain()
    (file,) = systemd.stored[NAME]
    assert file.seals == ALL_SEALS
    assert isinstance(parse(file.content), Keepsake)
    content: dict[str, Any] = json.loads(file.content)
    return content


def test_it_is_given_in_place_of_all_that_had_its_name(
    systemd: NotifySocket, handover: Handover
) -> None:
    Keeper(Notifier(), (), None, Clock()).keep(handover, FIRST)

    assert systemd.drain() == [f"FDSTOREREMOVE=1\nFDNAME={NAME}", f"FDSTORE=1\nFDNAME={NAME}"]
    assert kept_by(systemd) == {
        "format": 1,
        "from-boot-id": BOOT_ID,
        "sha256": handover.assessment.sha256,
        "region-count": 6,
        "loader": kept_by(systemd)["loader"],
        "loaded-at": TAKEN.realtime,
        "kexec-count": 1,
        "generation": 1,
        "kept": True,
    }


def test_what_the_kernel_before_had_left_is_in_it(
    systemd: NotifySocket, handover: Handover
) -> None:
    Keeper(Notifier(), (), BEFORE, Clock()).keep(handover, Origin(StartedBy.KEXEC, BEFORE))

    content = kept_by(systemd)
    assert content["before"] == BEFORE.members()
    assert content["kexec-count"] == 2


def test_the_same_is_given_once(systemd: NotifySocket, handover: Handover) -> None:
    keeper = Keeper(Notifier(), (), None, Clock())

    for _ in range(3):
        keeper.keep(handover, FIRST)

    assert len(systemd.drain()) == 2


def own(systemd: NotifySocket) -> Keepsake:
    """What was kept, as the daemon finds it after a restart."""
    found = parse(json.dumps(kept_by(systemd)).encode())
    assert isinstance(found, Keepsake)
    return found


@pytest.mark.parametrize("beside", ["a damaged one", "another boot's"])
def test_after_a_restart_it_is_given_only_where_there_is_more_than_that(
    beside: str, systemd: NotifySocket, handover: Handover
) -> None:
    Keeper(Notifier(), (), None, Clock()).keep(handover, FIRST)
    found = own(systemd)
    more: dict[str, Keepsake | Unusable] = {
        "a damaged one": Unusable("it is not JSON"),
        "another boot's": Keepsake(OWN, None),
    }

    Keeper(Notifier(), (found,), None, Clock()).keep(handover, FIRST)
    assert len(systemd.drain()) == 2

    Keeper(Notifier(), (more[beside], found), None, Clock()).keep(handover, FIRST)
    assert len(systemd.drain()) == 4
    assert own(systemd) == found


def test_another_generation_takes_its_place(systemd: NotifySocket, handover: Handover) -> None:
    keeper = Keeper(Notifier(), (), None, Clock())
    keeper.keep(handover, FIRST)

    keeper.keep(replace(handover, generation=2), FIRST)

    assert kept_by(systemd)["generation"] == 2


def test_where_nothing_is_handed_over_it_tells_of_no_region(
    tmp_path: Path, systemd: NotifySocket
) -> None:
    root = materialise(FIRST_KERNEL, tmp_path / "root")
    set_region(root, 0, phys_addr=0x7F00_0001)
    handover = first(read_snapshot(root), BOOT_ID, TAKEN)
    assert handover.assessment.state is State.INVALID

    Keeper(Notifier(), (), None, Clock()).keep(handover, FIRST)

    assert (kept_by(systemd)["sha256"], kept_by(systemd)["region-count"]) == ("", 0)


def test_without_a_store_nothing_is_given(
    systemd: NotifySocket, handover: Handover, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FDSTORE")

    Keeper(Notifier(), (), None, Clock()).keep(handover, FIRST)

    assert systemd.drain() == []


def fill(busy: socket.socket) -> int:
    """Fill a socket that is not read, and tell how many messages it took."""
    count = 0
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.setblocking(False)
        while True:
            try:
                sender.sendto(b"", busy.getsockname())
            except BlockingIOError:
                return count
            count += 1


@pytest.mark.parametrize("room", [0, 1])
def test_what_systemd_could_not_be_told_is_tried_again(
    room: int, busy: socket.socket, handover: Handover
) -> None:
    clock = Clock()
    waiting = fill(busy)
    for _ in range(room):
        busy.recv(1)
    keeper = Keeper(Notifier(), (), None, clock)
    keeper.keep(handover, FIRST)
    heard = [busy.recv(4096) for _ in range(waiting)]

    # Never another file beside one that is still there.
    assert [each.split(b"\n")[0] for each in heard if each] == [b"FDSTOREREMOVE=1"] * room
    assert clock.running

    clock.go_off()

    assert busy.recv(4096).startswith(b"FDSTOREREMOVE=1\n")
    assert busy.recv(4096).startswith(b"FDSTORE=1\n")
    assert not clock.running


def test_beside_a_file_that_could_not_be_removed_no_other_is_put(
    busy: socket.socket, handover: Handover
) -> None:
    waiting = fill(busy)

    class MakeRoom(logging.Handler):
        """Has systemd read on as soon as it is told that it could not be told."""

        def emit(self, _record: logging.LogRecord) -> None:
            for _ in range(waiting):
                busy.recv(4096)

    room = MakeRoom()
    notify.log.addHandler(room)
    try:
        Keeper(Notifier(), (), None, Clock()).keep(handover, FIRST)
    finally:
        notify.log.removeHandler(room)
    busy.setblocking(False)
    with pytest.raises(BlockingIOError):
        busy.recv(4096)


def test_a_try_that_is_still_to_come_ends_with_the_daemon(
    busy: socket.socket, handover: Handover
) -> None:
    notifier = Notifier()
    busy.close()
    clock = Clock()
    keeper = Keeper(notifier, (), None, clock)
    keeper.keep(handover, FIRST)
    assert clock.running

    keeper.stop()

    assert not clock.running


def test_a_file_that_cannot_be_made_is_tried_again_and_told(
    systemd: NotifySocket,
    handover: Handover,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = Clock()
    keeper = Keeper(Notifier(), (), None, clock)
    with monkeypatch.context() as short:
        short.setattr(memfd, "SEALS", -1)  # the kernel refuses such
        keeper.keep(handover, FIRST)
    assert "systemd is given nothing to keep over a kexec: Invalid argument" in caplog.text
    assert systemd.drain() == []

    clock.go_off()

    assert kept_by(systemd)["generation"] == 1


def test_no_descriptor_of_ours_is_left(systemd: NotifySocket, handover: Handover) -> None:
    keeper = Keeper(Notifier(), (), None, Clock())

    for number in range(1, 4):
        keeper.keep(replace(handover, generation=number), FIRST)

    systemd.drain()  # it has closed its own by then
    files = [os.readlink(each) for each in Path("/proc/self/fd").iterdir() if each.is_symlink()]
    assert not [each for each in files if NAME in each]
