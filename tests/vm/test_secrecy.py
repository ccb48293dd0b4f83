# SPDX-License-Identifier: LGPL-2.1-or-later
"""No address in anything that an unprivileged user can see."""

from __future__ import annotations

import re

import pytest

from tests.lab.guest import Guest
from tests.support.secrecy import assert_no_address

from . import expected
from .machines import ONCE_EACH, on
from .seen import COMMANDS, WITH_JOURNAL, seen
from .service import UNIT, call

pytestmark = [pytest.mark.vm, on(ONCE_EACH)]


def test_the_search_would_find_one(guest: Guest) -> None:
    known = expected.addresses(guest)
    for member in ("GetRuntimeMap", "GetMemoryMap", "GetExcludedRanges", "GetFindings"):
        with pytest.raises(AssertionError):
            assert_no_address(str(call(guest, member)), known)


def test_a_user_is_told_no_address(guest: Guest) -> None:
    text = seen(guest, COMMANDS)
    assert "EFI can be handed over" in text
    assert "Permission denied" in text


def test_a_user_who_may_read_the_journal_is_told_no_address(guest: Guest) -> None:
    guest.run(["systemctl", "service-log-level", UNIT, "debug"])
    call(guest, "Refresh")
    guest.run(["systemctl", "service-log-level", UNIT, "info"])
    text = seen(guest, COMMANDS, WITH_JOURNAL)
    assert re.search(r"kexecprepd\[\d+\]: Generation \d+, ready: ", text)
