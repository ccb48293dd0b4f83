# SPDX-License-Identifier: LGPL-2.1-or-later
"""The package's own tests of its answers; tests/vm/test_loader.py has the one that goes a kexec."""

from __future__ import annotations

import re

import pytest

from tests.lab.guest import Guest
from tests.support.packages import CHECKOUT

from .autopkgtest import FOLDER, TESTS, prepare
from .machines import ONCE_EACH, on

pytestmark = [pytest.mark.vm, on(ONCE_EACH)]


def test_the_package_s_own_test_of_its_answers_passes(guest: Guest) -> None:
    done = guest.run(prepare(guest, "answers"), timeout=900)
    assert "State: ready" in done.stdout


def test_the_package_s_own_test_of_recorded_data_passes(guest: Guest) -> None:
    # Run in the source's folder, of which it takes these.
    for name in re.findall(r"tests/data/\S+", (TESTS / "recorded").read_text()):
        guest.write_file(f"{FOLDER}/{name}", (CHECKOUT / name).read_bytes())
    done = guest.run(["env", f"--chdir={FOLDER}", *prepare(guest, "recorded")], timeout=900)
    assert "Where an entry of the map is missing" in done.stdout
