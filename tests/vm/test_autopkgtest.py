# SPDX-License-Identifier: LGPL-2.1-or-later
"""The package's own test of its answers; tests/vm/test_loader.py has the one that goes a kexec."""

from __future__ import annotations

import pytest

from tests.lab.guest import Guest

from .autopkgtest import prepare
from .machines import ONCE_EACH, on

pytestmark = [pytest.mark.vm, on(ONCE_EACH)]


def test_the_package_s_own_test_of_its_answers_passes(guest: Guest) -> None:
    done = guest.run(prepare(guest, "answers"), timeout=900)
    assert "State: ready" in done.stdout
