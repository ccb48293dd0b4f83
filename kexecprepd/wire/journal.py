# SPDX-License-Identifier: LGPL-2.1-or-later
"""Sends entries to systemd's journal as it has them: with fields, which lines on stderr have not.

The texts that explain the messages are in systemd/kexecprepd.catalog.
Source: systemd's docs/JOURNAL_NATIVE_PROTOCOL.md, systemd.journal-fields(7), and systemd.exec(5)
for $JOURNAL_STREAM.
"""

import os
import socket
import struct
import sys
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path

_SOCKET = Path("run/systemd/journal/socket")


class Message(StrEnum):
    """What an entry is about, for programs and for the catalog: its MESSAGE_ID."""

    STATE = "6d03bb280f8246498cd8dd302b30d5ac"
    """The state of the handover, at the start of the daemon and after each change."""
    STALE = "d58b3d8e40f74fc4b3839b92199a7eb0"
    """The kernel that is loaded for kexec is stale."""
    RECEIPT = "70a11dfb744546989fd0d57572abeffa"
    """This kernel was started by kexec, with a receipt."""


def is_standard_error() -> bool:
    """Whether the journal reads standard error."""
    stream = os.fstat(sys.stderr.fileno())
    return os.environ.get("JOURNAL_STREAM") == f"{stream.st_dev}:{stream.st_ino}"


def send(root: Path, fields: Mapping[str, str]) -> bool:
    """Send one entry to the journal below `root`; False where it does not take it at once."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sender:
            sender.sendto(_packed(fields), str(root / _SOCKET))
    except OSError:
        return False  # there is none, it is stuck, or the entry is longer than a datagram
    return True


def _packed(fields: Mapping[str, str]) -> bytes:
    """A value of several lines has its length before it, a u64; the others end with their line."""
    packed = bytearray()
    for name, text in fields.items():
        value = text.encode("utf-8", "backslashreplace")
        if b"\n" in value:
            packed += name.encode() + b"\n" + struct.pack("<Q", len(value)) + value + b"\n"
        else:
            packed += name.encode() + b"=" + value + b"\n"
    return bytes(packed)
