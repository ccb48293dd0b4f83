# SPDX-License-Identifier: LGPL-2.1-or-later
"""A dbus-python service that has the answers of the daemon, and says them again: NAME."""

import sys
from typing import Any

import dbus.lowlevel
import dbus.mainloop.glib
from gi.repository import GLib

import dbus

OTHER, OBJECT, MANAGER = "org.kexecprepd1", "/org/kexecprepd1", "org.kexecprepd1.Manager"
SIGNATURES = {
    "GetSetupData": "aya{sv}",
    "GetHandover": "aya(tts)a{sv}",
    "GetMemoryMap": "a(tts)",
}


def main() -> int:
    """Serve until a signal comes."""
    dbus.mainloop.glib.DBusGMainLoop(set_as_default=True)
    bus = dbus.SystemBus()
    answers: dict[str, Any] = {}
    for name, signature in SIGNATURES.items():
        arguments = (OTHER, OBJECT, MANAGER, name, "", ())
        message = bus.call_blocking(*arguments, byte_arrays=True)
        several = isinstance(message, tuple)
        answers[name] = (signature, message if several else (message,))

    def called(connection: Any, message: Any) -> int:
        known = answers.get(message.get_member())
        if not isinstance(message, dbus.lowlevel.MethodCallMessage) or known is None:
            return int(dbus.lowlevel.HANDLER_RESULT_NOT_YET_HANDLED)
        reply = dbus.lowlevel.MethodReturnMessage(message)
        signature, values = known
        reply.append(*values, signature=signature)
        connection.send_message(reply)
        return int(dbus.lowlevel.HANDLER_RESULT_HANDLED)

    bus.add_message_filter(called)
    bus.request_name(sys.argv[1])
    print("ready", flush=True)
    GLib.MainLoop().run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
