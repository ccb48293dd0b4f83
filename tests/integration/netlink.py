# SPDX-License-Identifier: LGPL-2.1-or-later
"""Real netlink events in udev's own form, sent within the network namespace of one process.

umockdev's sockets never overflow; the kernel's do. The layout is that of struct
monitor_netlink_header in systemd's src/libsystemd/sd-device/device-monitor.c.
"""

import subprocess
import sys

OWN_NETWORK = ("unshare", "--net")
"""Wrapper that gives the daemon a network namespace of its own, so nobody else's events."""

_PROGRAM = r"""
import socket, struct, sys

def murmur_hash_2(data):
    m, h, mask = 0x5BD1E995, len(data), 0xFFFFFFFF
    while len(data) >= 4:
        k = int.from_bytes(data[:4], sys.byteorder) * m & mask
        k = (k ^ k >> 24) * m & mask
        h = (h * m & mask) ^ k
        data = data[4:]
    if data:
        h = (h ^ int.from_bytes(data, "little")) * m & mask
    h = (h ^ h >> 13) * m & mask
    return h ^ h >> 15

with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 15) as udev:
    for number in range(int(sys.argv[1])):
        properties = (
            f"ACTION=online\0DEVPATH=/devices/system/memory/memory{number}\0"
            f"SUBSYSTEM=memory\0SEQNUM={number + 1}\0"
        ).encode()
        hashes = struct.pack(">IIII", murmur_hash_2(b"memory"), 0, 0, 0)
        header = b"libudev\0" + struct.pack(">I", 0xFEEDCAFE)
        header += struct.pack("=III", 40, 40, len(properties)) + hashes
        udev.sendto(header + properties, (0, 2))
"""


def send_memory_events(pid: int, count: int) -> None:
    """Send that so many blocks of memory went online, where process `pid` can hear it."""
    namespace = f"--net=/proc/{pid}/ns/net"
    subprocess.run(["nsenter", namespace, sys.executable, "-c", _PROGRAM, str(count)], check=True)
