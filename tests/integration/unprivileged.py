# SPDX-License-Identifier: LGPL-2.1-or-later
"""Calls made by a user without any rights: as a program of its own, run under setpriv."""

import atexit
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.support.daemon import CHECKOUT
from tests.support.lines import Lines
from tests.support.private_bus import PrivateBus

UID = 65534
SETPRIV = ("setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups")


@cache
def modules() -> Path:
    """Where that user finds our modules: a copy of them, if the checkout is below /root, say."""
    if subprocess.run([*SETPRIV, "test", "-r", CHECKOUT / "kexecprepd"]).returncode == 0:
        return CHECKOUT
    top = Path(tempfile.mkdtemp(prefix="kexecprepd-modules-"))
    atexit.register(shutil.rmtree, top)
    top.chmod(0o755)
    shutil.copytree(CHECKOUT / "kexecprepd", top / "kexecprepd")
    subprocess.run(["chmod", "-R", "go+rX", top], check=True)
    return top


@dataclass(frozen=True)
class Call:
    """A method call; `arguments` is a Variant in text form, as `GLib.Variant.parse` takes it."""

    path: str
    interface: str
    method: str
    arguments: str = "()"
    destination: str = "org.kexecprepd1"


@dataclass(frozen=True)
class Answer:
    """What a call brought: an error's name or None, and all the text that came with it."""

    error: str | None
    text: str


# Given as text, since that user need not be able to read the checkout.
_PROGRAM = """
import json, os, sys
from gi.repository import Gio, GLib

flags = (Gio.DBusConnectionFlags.AUTHENTICATION_CLIENT
         | Gio.DBusConnectionFlags.MESSAGE_BUS_CONNECTION)
address = os.environ["DBUS_SYSTEM_BUS_ADDRESS"]
bus = Gio.DBusConnection.new_for_address_sync(address, flags, None, None)

def answer(destination, path, interface, method, arguments):
    message = Gio.DBusMessage.new_method_call(destination, path, interface, method)
    message.set_body(GLib.Variant.parse(None, arguments, None, None))
    reply, _ = bus.send_message_with_reply_sync(message, Gio.DBusSendMessageFlags.NONE, 30000, None)
    body = reply.get_body()
    if reply.get_message_type() == Gio.DBusMessageType.ERROR:
        return reply.get_error_name(), body.get_child_value(0).get_string()
    return None, "" if body is None else body.print_(True)

def listen():
    loop = GLib.MainLoop()
    def received(_bus, _sender, _path, interface, name, parameters):
        print(json.dumps([interface + "." + name, parameters.print_(True)]), flush=True)
        if name == "MapChanged":
            loop.quit()
    for name in ("MapChanged", "PropertiesChanged"):
        bus.signal_subscribe(
            "org.kexecprepd1", None, name, None, None, Gio.DBusSignalFlags.NONE, received)
    answer("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "GetId", "()")
    print("listening", flush=True)
    loop.run()

calls = json.load(sys.stdin)
if calls == "listen":
    listen()
else:
    json.dump([answer(*call) for call in calls], sys.stdout)
"""


def ask(bus: PrivateBus, calls: list[Call]) -> list[Answer]:
    """Make the calls as that user, one after the other on one connection."""
    question = [(c.destination, c.path, c.interface, c.method, c.arguments) for c in calls]
    done = subprocess.run(
        [*SETPRIV, sys.executable, "-c", _PROGRAM],
        input=json.dumps(question),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        cwd="/",
        env=bus.environment,
    )
    return [Answer(error, text) for error, text in json.loads(done.stdout)]


@contextmanager
def listening(bus: PrivateBus) -> Iterator[Lines]:
    """That user waits for MapChanged; a line of JSON comes for each signal until then."""
    process = subprocess.Popen(
        [*SETPRIV, sys.executable, "-c", _PROGRAM],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        bufsize=0,
        cwd="/",
        env=bus.environment,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    lines = Lines(process.stdout)
    try:
        process.stdin.write(json.dumps("listen").encode())
        process.stdin.close()
        assert lines.next() == "listening\n"
        yield lines
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
