# SPDX-License-Identifier: LGPL-2.1-or-later
"""The order in which the tests' groups are handed out names groups that there are."""

from __future__ import annotations

import re
from pathlib import Path

from tests.support.turns import LONGEST

from .machines import ALL, TESTING

VM = Path(__file__).parent


def test_every_guest_has_a_turn() -> None:
    # Debian testing's is not among the others.
    machines = {str(each) for each in ALL if each is not TESTING}
    assert machines - {*LONGEST} == set()


def test_every_turn_is_a_guest_s_or_a_module_s_with_a_guest_of_its_own() -> None:
    modules = {each for each in LONGEST if each.startswith("test_")}
    files = {VM / f"{re.sub('-.*', '', each)}.py" for each in modules}
    assert [each for each in files if not each.exists()] == []
    assert {*LONGEST} - modules <= {str(each) for each in ALL}
