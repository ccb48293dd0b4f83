# SPDX-License-Identifier: LGPL-2.1-or-later
"""The Debian package's own tests (packaging/debian/tests), run in a guest as autopkgtest does.

autopkgtest itself wants a testbed with a package archive; the guests have none. What it gives a
test is little: a folder, the package, and after a reboot the word that the test has left.
(README.package-tests.rst of autopkgtest)
"""

from __future__ import annotations

from tests.lab.guest import Guest
from tests.support.packages import CHECKOUT

FOLDER = "/var/tmp/autopkgtest"
"""Nothing below /run can be executed."""

PREPARE = "/tmp/autopkgtest-reboot-prepare"
TESTS = CHECKOUT / "packaging" / "debian" / "tests"


def prepare(guest: Guest, name: str) -> list[str]:
    """Put a test into the guest; the command that runs it."""
    guest.run(["mkdir", "-p", f"{FOLDER}/tmp"])
    guest.write_file(f"{FOLDER}/{name}", (TESTS / name).read_bytes(), mode=0o755)
    guest.write_file(PREPARE, b"#!/bin/sh\n", mode=0o755)
    return ["env", f"AUTOPKGTEST_TMP={FOLDER}/tmp", f"{FOLDER}/{name}"]


def after_reboot(guest: Guest, name: str, mark: str) -> list[str]:
    """The command that goes on with a test in the next kernel."""
    environment, *command = prepare(guest, name)
    return [environment, f"AUTOPKGTEST_REBOOT_MARK={mark}", *command]
