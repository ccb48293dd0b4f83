# SPDX-License-Identifier: LGPL-2.1-or-later
"""SECURITY.md: each promise names the tests that hold it, and they are there."""

import re
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]


def test_each_promise_names_tests_that_are_there() -> None:
    promised = (CHECKOUT / "SECURITY.md").read_text().partition("## Promised")[2]
    rows = [line for line in promised.partition("\n## ")[0].splitlines() if line.startswith("| ")]
    assert len(rows) > 2
    for row in rows[2:]:
        tests = re.findall(r"`(tests/[a-z_/]+\.py)`", row)
        assert tests, row
        for test in tests:
            assert (CHECKOUT / test).is_file(), test
