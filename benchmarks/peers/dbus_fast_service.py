# SPDX-License-Identifier: LGPL-2.1-or-later
"""A dbus-fast service that has the answers of the daemon, and says them again: NAME."""

import asyncio
import sys
from typing import Any

from dbus_fast import BusType, Message, MessageType
from dbus_fast.aio import MessageBus

OTHER, OBJECT, MANAGER = "org.kexecprepd1", "/org/kexecprepd1", "org.kexecprepd1.Manager"
NAMES = ("GetSetupData", "GetHandover", "GetMemoryMap")


async def main() -> None:
    """Serve until a signal comes."""
    bus = await MessageBus(bus_type=BusType.SYSTEM).connect()
    answers: dict[str, Any] = {}
    for name in NAMES:
        asked = Message(destination=OTHER, path=OBJECT, interface=MANAGER, member=name)
        answers[name] = await bus.call(asked)

    def called(message: Any) -> Any:
        known = answers.get(message.member)
        if message.message_type is not MessageType.METHOD_CALL or known is None:
            return None
        return Message.new_method_return(message, known.signature, known.body)

    bus.add_message_handler(called)
    await bus.request_name(sys.argv[1])
    print("ready", flush=True)
    await bus.wait_for_disconnect()


if __name__ == "__main__":
    asyncio.run(main())
