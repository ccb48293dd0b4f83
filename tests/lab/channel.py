# SPDX-License-Identifier: LGPL-2.1-or-later
"""Speak to QEMU's monitor (QMP) and to the guest agent: one JSON object a line."""

from __future__ import annotations

import base64
import json
import select
import socket
import time
from collections.abc import Callable
from typing import Any

Message = dict[str, Any]


class GuestError(Exception):
    """The virtual machine, or a command in it, did not do what was asked."""


class Deadline:
    """A point in time by which something must have happened."""

    def __init__(self, seconds: float) -> None:
        """Start counting now."""
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """Seconds left, never below zero."""
        return max(0.0, self._end - time.monotonic())

    def passed(self) -> bool:
        """Whether it is too late."""
        return self.left() == 0.0


class Channel:
    """JSON lines over a socket whose other end QEMU holds: it ends when QEMU does."""

    def __init__(self, end: socket.socket) -> None:
        """Use one end of a socket pair."""
        self._socket = end
        self._buffer = bytearray()

    def send(self, message: Message, prefix: bytes = b"") -> None:
        """Send one object."""
        try:
            self._socket.sendall(prefix + json.dumps(message).encode() + b"\n")
        except OSError as error:
            raise GuestError("QEMU has ended: it takes no more commands") from error

    def receive(self, deadline: Deadline) -> Message | None:
        """Return the next object, or None when the deadline passes first."""
        while True:
            line, newline, rest = self._buffer.partition(b"\n")
            if newline:
                self._buffer = rest
                # The agent marks the answer to a resynchronisation with a byte that JSON has not.
                text = line.rpartition(b"\xff")[2].strip()
                try:
                    message = json.loads(text) if text else None
                except ValueError:
                    # The rest of an answer that a reboot has cut.
                    message = None
                if isinstance(message, dict):
                    return message
                continue
            if not select.select([self._socket], [], [], deadline.left())[0]:
                return None
            self._buffer += self._read()

    def _read(self) -> bytes:
        try:
            data = self._socket.recv(1 << 16)
        except ConnectionError:
            data = b""
        if not data:
            raise GuestError("QEMU has ended: its messages and the console log say why")
        return data


class Qmp:
    """QEMU's monitor."""

    def __init__(self, channel: Channel) -> None:
        """Take over a channel on which nothing has been said yet."""
        self._channel = channel
        self._events: list[Message] = []

    def greet(self, deadline: Deadline) -> None:
        """Leave the negotiation mode that every monitor starts in."""
        if self._channel.receive(deadline) is None:
            raise GuestError("QEMU's monitor said nothing: QEMU has not started")
        self.execute("qmp_capabilities")

    def execute(self, command: str, timeout: float = 30, /, **arguments: Any) -> Any:
        """Run a monitor command and return its answer."""
        self._channel.send({"execute": command, "arguments": arguments})
        deadline = Deadline(timeout)
        while (message := self._channel.receive(deadline)) is not None:
            if "event" in message:
                self._events.append(message)
            elif "error" in message:
                raise GuestError(f"QEMU refused {command}: {message['error']['desc']}")
            else:
                return message["return"]
        raise GuestError(f"QEMU did not answer {command} within {timeout:g} s")

    def wait_event(
        self, name: str, timeout: float, wanted: Callable[[Message], bool] = lambda data: True
    ) -> Message:
        """Return the data of the first event, past or to come, of that name that is wanted."""
        event = self.next_event(name, timeout, wanted)
        if event is None:
            raise GuestError(f"QEMU sent no event {name} within {timeout:g} s")
        return event

    def next_event(
        self, name: str, timeout: float, wanted: Callable[[Message], bool] = lambda data: True
    ) -> Message | None:
        """As wait_event, but None where there is none in time."""
        deadline = Deadline(timeout)
        seen = 0
        while True:
            for index in range(seen, len(self._events)):
                data = self._events[index].get("data", {})
                if self._events[index]["event"] == name and wanted(data):
                    del self._events[index]
                    return dict(data)
            seen = len(self._events)
            message = self._channel.receive(deadline)
            if message is None:
                return None
            if "event" in message:
                self._events.append(message)

    def forget(self, name: str) -> None:
        """Drop the events of that name that came until now."""
        self.execute("query-status")  # what was sent before its answer has come
        self._events = [each for each in self._events if each["event"] != name]


class Agent:
    """qemu-guest-agent in the guest."""

    def __init__(self, channel: Channel) -> None:
        """Take over the channel of the agent's virtio-serial port."""
        self._channel = channel
        self._last_sync = 0

    def synchronise(self, timeout: float) -> None:
        """Wait until the agent answers, and drop whatever it said before."""
        deadline = Deadline(timeout)
        while not deadline.passed():
            # Sent again and again: an agent that is about to end may swallow one.
            self._last_sync += 1
            request = {
                "execute": "guest-sync-delimited",
                "arguments": {"id": self._last_sync},
            }
            self._channel.send(request, prefix=b"\xff")
            attempt = Deadline(min(1.0, deadline.left()))
            while (message := self._channel.receive(attempt)) is not None:
                if message.get("return") == self._last_sync:
                    return
        raise GuestError(f"the guest agent did not answer within {timeout:g} s")

    def execute(self, command: str, timeout: float = 30, /, **arguments: Any) -> Any:
        """Run an agent command and return its answer."""
        self._channel.send({"execute": command, "arguments": arguments})
        message = self._channel.receive(Deadline(timeout))
        if message is None:
            # Else a late answer would be taken for that of the next command.
            self.synchronise(timeout)
            raise GuestError(f"the guest agent did not answer {command} within {timeout:g} s")
        if "error" in message:
            raise GuestError(f"the guest agent refused {command}: {message['error']['desc']}")
        return message["return"]

    def start(self, argv: list[str], data: bytes | None) -> int:
        """Start a command and return its process id."""
        arguments: Message = {"path": argv[0], "arg": argv[1:], "capture-output": True}
        if data is not None:
            arguments["input-data"] = base64.b64encode(data).decode()
        return int(self.execute("guest-exec", **arguments)["pid"])

    def status(self, pid: int) -> tuple[int, bytes, bytes] | None:
        """Return status, stdout and stderr of a command that has ended, else None.

        The agent gives them once and then forgets the process.
        """
        answer = self.execute("guest-exec-status", pid=pid)
        if not answer["exited"]:
            return None
        if answer.get("out-truncated") or answer.get("err-truncated"):
            raise GuestError("a command in the guest wrote more than the agent can carry")
        status = -answer["signal"] if "signal" in answer else answer["exitcode"]
        out, err = (base64.b64decode(answer.get(key, "")) for key in ("out-data", "err-data"))
        return status, out, err
