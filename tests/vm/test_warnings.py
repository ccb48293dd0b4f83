# SPDX-License-Identifier: LGPL-2.1-or-later
"""A coming Python has nothing to say against our code."""

from __future__ import annotations

import pytest

from tests.lab.guest import Guest

from .machines import TESTING, on
from .service import journal

pytestmark = [pytest.mark.vm, on([TESTING])]

# Every module imported, and two verbs at work; of other packages any warning is passed over.
AT_WORK = r"""
import pkgutil, sys, warnings
warnings.filterwarnings("error", module=r"kexecprepd(\.|$)")
import kexecprepd
for each in pkgutil.walk_packages(kexecprepd.__path__, "kexecprepd."):
    if not each.name.endswith("__main__"):
        __import__(each.name)
from kexecprepd.ctl.__main__ import main
main(["status"]), main(["check"])
"""


def test_no_module_uses_what_will_go(guest: Guest) -> None:
    done = guest.run(["python3", "-c", AT_WORK], timeout=900)
    assert "Warning" not in done.stderr


def test_the_service_has_logged_no_warning(guest: Guest) -> None:
    assert "DeprecationWarning" not in journal(guest)
