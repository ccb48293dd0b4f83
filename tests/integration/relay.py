# SPDX-License-Identifier: LGPL-2.1-or-later
"""A socket between a client and the bus: something happens just before a call gets through."""

import re
import select
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.notify_socket import DEADLINE
from tests.support.private_bus import PrivateBus

LOST = object()
"""What `act` returns for a call that is not to get through: nobody ever answers it."""


@contextmanager
def on_the_way(
    bus: PrivateBus, socket_path: Path, member: str, act: Callable[[], object]
) -> Iterator[dict[str, str]]:
    """An environment in which every call of `member` has `act` done before it gets through."""
    found = re.search(r"unix:path=([^,]+)", bus.address)
    assert found
    upstream = found[1]

    class Relay(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with socket.socket(socket.AF_UNIX) as other:
                other.connect(upstream)
                ends = {self.request: other, other: self.request}
                wanted = member.encode()
                before = b""  # the end of what came last: a name may come in two parts
                while True:
                    for end in select.select(list(ends), [], [], DEADLINE)[0]:
                        data = end.recv(65536)
                        if not data:
                            return
                        if end is self.request:
                            done = [act() for _ in range((before + data).count(wanted))]
                            before = (before + data)[1 - len(wanted) :]
                            if LOST in done:  # GDBus sends each message in one piece
                                continue
                        ends[end].sendall(data)

    with socketserver.ThreadingUnixStreamServer(str(socket_path), Relay) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield {**bus.environment, "DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={socket_path}"}
        finally:
            server.shutdown()
            thread.join()
