# SPDX-License-Identifier: LGPL-2.1-or-later
"""A user who calls faster than can be answered: under the unit's own limits, on the real bus."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab.guest import Guest
from tests.support import flooder

from . import expected
from .machines import ONCE_EACH, on
from .service import MANAGER, NAME, PATHS, call, properties, show

pytestmark = [pytest.mark.vm, on(ONCE_EACH)]

PROGRAM = "/run/flooder.py"
CALLS = 4_000
"""On an emulated processor that is some ten seconds; benchmarks/flood.py sends more."""

CONNECTIONS = 4


@pytest.mark.parametrize("replies", ["unwanted", "unread"])
def test_a_flood_neither_ends_the_daemon_nor_keeps_root_from_it(guest: Guest, replies: str) -> None:
    before, unit = properties(guest), show(guest)
    assert int(unit["MemoryMax"]) == 256 << 20
    guest.write_file(PROGRAM, Path(flooder.__file__).read_bytes())
    where = (NAME, PATHS[MANAGER], MANAGER)
    command = ["python3", "-I", PROGRAM, str(CALLS), str(CONNECTIONS), replies, *where]
    try:
        guest.run(command, user="tester", timeout=900)
        assert bytes(call(guest, "GetSetupData")[0]) == expected.image(guest)
    finally:
        guest.run(["rm", PROGRAM])
    after = show(guest)
    assert (after["MainPID"], after["NRestarts"]) == (unit["MainPID"], unit["NRestarts"])
    assert properties(guest) == before
