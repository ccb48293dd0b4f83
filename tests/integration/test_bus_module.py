# SPDX-License-Identifier: LGPL-2.1-or-later
"""The module that knows pydbus, with an object of the test's own: texts and ends that are none."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.support.daemon import CHECKOUT
from tests.support.lines import Lines
from tests.support.notify_socket import DEADLINE
from tests.support.private_bus import PrivateBus

from .client import Client, Refused, connected

pytestmark = pytest.mark.bus

INTERFACE, PATH = "org.example.Test", "/org/example/Test"

_PROGRAM = f"""
import sys
from gi.repository import GLib
from kexecprepd.wire.bus import Bus, signal
from kexecprepd.wire.errors import Failed

class Object:
    Told = signal()
    def Fail(self):
        raise Failed("one\\0two \\udcff three \\u00e4")

bus, item = Bus(), Object()
bus.export({PATH!r}, '''<node><interface name={INTERFACE!r}>
<method name="Fail"/><signal name="Told"><arg type="s"/></signal></interface></node>''', item)
print(bus.connection.get_unique_name(), flush=True)
sys.stdin.readline()
bus.connection.close_sync(None)
item.Told("Is anybody there?")
print("it goes on", flush=True)
"""

# Answers come from the main loop, which the line on standard input ends.
_SERVING = _PROGRAM.replace(
    "sys.stdin.readline()",
    "loop = GLib.MainLoop()\n"
    "GLib.io_add_watch(sys.stdin.fileno(), GLib.PRIORITY_DEFAULT, GLib.IOCondition.IN, "
    "lambda *_: loop.quit())\nloop.run()",
)


@contextmanager
def serving(bus: PrivateBus) -> Iterator["tuple[subprocess.Popen[bytes], str, Lines]"]:
    """The program, the name of its connection, and what it prints after that."""
    process = subprocess.Popen(
        [sys.executable, "-c", _SERVING],
        env={**bus.environment, "G_DEBUG": "fatal-criticals"},
        cwd=CHECKOUT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        bufsize=0,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    lines = Lines(process.stdout)
    try:
        yield process, lines.next().strip(), lines
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


@pytest.fixture
def client(open_bus: PrivateBus) -> Iterator[Client]:
    with connected(open_bus.address) as client:
        yield client


def test_an_error_whose_text_the_bus_does_not_carry_is_answered(
    open_bus: PrivateBus, client: Client
) -> None:
    with serving(open_bus) as (_, name, _), pytest.raises(Refused) as raised:
        client.call("Fail", interface=INTERFACE, path=PATH, destination=name)

    assert raised.value.name == "org.kexecprepd1.Error.Failed"
    assert str(raised.value) == "one\\0two \\udcff three ä"


def test_a_signal_after_the_bus_is_gone_is_nobody_s_trouble(open_bus: PrivateBus) -> None:
    with serving(open_bus) as (process, _, lines):
        assert process.stdin is not None
        process.stdin.write(b"\n")

        assert lines.next() == "it goes on\n"
        assert process.wait(DEADLINE) == 0
