# SPDX-License-Identifier: LGPL-2.1-or-later
"""Where the daemon is found on the bus, and the XML that says what it offers there."""

import os

BUS_NAME = "org.kexecprepd1"
MANAGER_PATH = "/org/kexecprepd1"
MANAGER = "org.kexecprepd1.Manager"
LOG_CONTROL_PATH = "/org/freedesktop/LogControl1"
LOG_CONTROL = "org.freedesktop.LogControl1"


def interface_xml(interface: str) -> str:
    """The introspection data of an interface, as `dbus/` has it."""
    path = os.path.join(os.path.dirname(__file__), "interfaces", f"{interface}.xml")
    with open(path, encoding="utf-8") as file:
        return file.read()
