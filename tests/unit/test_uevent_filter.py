# SPDX-License-Identifier: LGPL-2.1-or-later
"""Which of the kernel's events wake the daemon: a socket that has the filter gets no others."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from kexecprepd.daemon.uevent_filter import attach

ACTIONS = ("add", "remove", "change", "move", "online", "offline", "bind", "unbind")
BLOCK = "/devices/system/memory/memory33"


def event(action: str, path: str, subsystem: str) -> bytes:
    """As kobject_uevent_env() of lib/kobject_uevent.c makes it."""
    lines = f"{action}@{path}", f"ACTION={action}", f"DEVPATH={path}", f"SUBSYSTEM={subsystem}"
    return "".join(f"{line}\0" for line in (*lines, "SEQNUM=4711")).encode()


@contextmanager
def filtered() -> Iterator[tuple[socket.socket, socket.socket]]:
    """A sender, and the receiver that has the filter; it does not wait."""
    sender, receiver = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with sender, receiver:
        receiver.setblocking(False)
        attach(receiver.fileno())
        yield sender, receiver


def passes(message: bytes) -> bool:
    """Whether a message arrives; and that it is whole, if it does."""
    with filtered() as (sender, receiver):
        sender.send(message)
        try:
            assert receiver.recv(65536) == message
        except BlockingIOError:
            return False
        return True


OTHERS = {
    "/devices/virtual/block/loop0": "block",
    "/devices/system/cpu/cpu1": "cpu",
    "/devices/system/node/node1": "node",
    "/devices/virtual/memory_tiering/memory_tier4": "memory_tiering",
    "/module/loop": "module",
    "/bus/memory": "drivers",
}


def test_each_action_of_memory_arrives() -> None:
    assert [each for each in ACTIONS if not passes(event(each, BLOCK, "memory"))] == []


@pytest.mark.parametrize("path", OTHERS)
def test_no_other_device_s_event_arrives(path: str) -> None:
    assert [each for each in ACTIONS if passes(event(each, path, OTHERS[path]))] == []


def test_every_letter_of_the_path_counts() -> None:
    changed = [BLOCK[:at] + "#" + BLOCK[at + 1 :] for at in range(len(BLOCK) - len("emory33"))]
    assert [each for each in changed if passes(event("online", each, "memory"))] == []


def test_an_action_that_nobody_knows_does_not_arrive() -> None:
    assert not passes(event("plugged-in", BLOCK, "memory"))


def test_a_message_that_ends_early_does_not_arrive() -> None:
    early = [event("online", BLOCK, "memory")[:length] for length in range(1, 31)]
    assert [each for each in early if passes(each)] == []


def test_udev_s_own_messages_are_left_to_libudev() -> None:
    assert passes(b"libudev\0\xfe\xed\xca\xfe and so on")
