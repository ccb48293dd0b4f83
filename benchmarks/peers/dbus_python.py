# SPDX-License-Identifier: LGPL-2.1-or-later
"""A dbus-python service that has the answers of the daemon, and says them again: NAME."""

import sys
from typing import Any

from dbus.bus import BusConnection
from dbus.lowlevel import (
    HANDLER_RESULT_HANDLED,
    HANDLER_RESULT_NOT_YET_HANDLED,
    MethodCallMessage,
    MethodReturnMessage,
)
from dbus.mainloop.glib import DBusGMainLoop
from gi.repository import GLib

OTHER, OBJECT, MANAGER = "org.kexecprepd1", "/org/kexecprepd1", "org.kexecprepd1.Manager"
SIGNATURES = {
    "GetSetupData": "aya{sv}",
    "GetHandover": "aya(tts)a{sv}",
    "GetMemoryMap": "a(tts)",
}


def main() -> int:
    """Serve until a signal comes."""
    DBusGMainLoop(set_as_default=True)
    bus = BusConnection(BusConnection.TYPE_SYSTEM)
    answers: dict[str, Any] = {}
    for name, signature in SIGNATURES.items():
        arguments = (OTHER, OBJECT, MANAGER, name, "", ())
        message = bus.call_blocking(*arguments, byte_arrays=True)
        several = isinstance(message, tuple)
        answers[name] = (signature, message if several else (message,))

    def called(connection: Any, message: Any) -> int:
        known = answers.get(message.get_member())
        if not isinstance(message, MethodCallMessage) or known is None:
            return int(HANDLER_RESULT_NOT_YET_HANDLED)
        reply = MethodReturnMessage(message)
        signature, values = known
        reply.append(*values, signature=signature)
        connection.send_message(reply)
        return int(HANDLER_RESULT_HANDLED)

    bus.add_message_filter(called)
    bus.request_name(sys.argv[1])
    print("ready", flush=True)
    GLib.MainLoop().run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
