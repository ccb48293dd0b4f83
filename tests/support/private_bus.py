# SPDX-License-Identifier: LGPL-2.1-or-later
"""A dbus-daemon of our own, configured as the system bus is, with or without the shipped policy."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

POLICY = Path(__file__).parents[2] / "dbus" / "org.kexecprepd1.conf"

# What Debian's /usr/share/dbus-1/system.conf has as its default policy; anyone may connect.
_CONFIG = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path={socket}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <deny own="*"/>
    <deny send_type="method_call"/>
    <allow send_type="signal"/>
    <allow send_requested_reply="true" send_type="method_return"/>
    <allow send_requested_reply="true" send_type="error"/>
    <allow receive_type="method_call"/>
    <allow receive_type="method_return"/>
    <allow receive_type="error"/>
    <allow receive_type="signal"/>
    <allow send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus"/>
    <allow send_destination="org.freedesktop.DBus"
           send_interface="org.freedesktop.DBus.Introspectable"/>
  </policy>
  {policy}
</busconfig>
"""

OPEN_POLICY = """<policy context="default">
    <allow own="*"/>
    <allow send_destination="*"/>
  </policy>"""
"""Lets everyone do everything: what the daemon itself refuses shows here."""

SHIPPED_POLICY = f"<include>{POLICY}</include>"


@dataclass(frozen=True)
class PrivateBus:
    """A running dbus-daemon."""

    address: str
    process: subprocess.Popen[str]

    @property
    def environment(self) -> dict[str, str]:
        """The environment in which GLib, busctl and the rest take this for the system bus."""
        return {**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": self.address}

    def kill(self) -> None:
        """End the bus as a crash would."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


@contextmanager
def private_bus(directory: Path, policy: str = SHIPPED_POLICY) -> Iterator[PrivateBus]:
    """A bus with its socket in `directory`, which every user must be able to reach."""
    socket = directory / "bus"
    config = directory / "bus.conf"
    log = directory / "bus.log"
    config.write_text(_CONFIG.format(socket=socket, policy=policy))
    # It has much to say of a bus that is not the system's.
    with log.open("wb") as messages:
        process = subprocess.Popen(
            ["dbus-daemon", f"--config-file={config}", "--nofork", "--print-address"],
            stdout=subprocess.PIPE,
            stderr=messages,
            text=True,
        )
    try:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        assert address, f"dbus-daemon did not start: {log.read_text()}"
        yield PrivateBus(address, process)
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
