# SPDX-License-Identifier: LGPL-2.1-or-later
"""Real events of the kernel's, sent within the network namespace of one process.

umockdev's sockets never overflow; the kernel's do. What root sends to the kernel on such a socket
goes out again to everyone in the namespace as if it came from there (lib/kobject_uevent.c,
uevent_net_rcv_skb).
"""

import subprocess
import sys

OWN_NETWORK = ("unshare", "--net")
"""Wrapper that gives the daemon a network namespace of its own, so nobody else's events."""

_PROGRAM = r"""
import socket, struct, sys

NETLINK_KOBJECT_UEVENT = 15
HEADER = struct.Struct("=IHHII")  # struct nlmsghdr
NLMSG_MIN_TYPE, NLM_F_REQUEST = 0x10, 1

with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_KOBJECT_UEVENT) as kernel:
    for number in range(int(sys.argv[3])):
        path = f"{sys.argv[2]}{number}"
        lines = f"online@{path}", "ACTION=online", f"DEVPATH={path}", f"SUBSYSTEM={sys.argv[1]}"
        event = "".join(f"{line}\0" for line in lines).encode()
        size = HEADER.size + len(event)
        kernel.sendto(HEADER.pack(size, NLMSG_MIN_TYPE, NLM_F_REQUEST, 0, 0) + event, (0, 0))
"""


def send_memory_events(pid: int, count: int) -> None:
    """Send that so many blocks of memory went online, where process `pid` can hear it."""
    _send(pid, "memory", "/devices/system/memory/memory", count)


def send_other_events(pid: int, count: int) -> None:
    """Send as many of disks."""
    _send(pid, "block", "/devices/virtual/block/loop", count)


def _send(pid: int, subsystem: str, path: str, count: int) -> None:
    command = [sys.executable, "-c", _PROGRAM, subsystem, path, str(count)]
    subprocess.run(["nsenter", f"--net=/proc/{pid}/ns/net", *command], check=True)
