# SPDX-License-Identifier: LGPL-2.1-or-later
"""All that an unprivileged user of a guest can see of the service, searched for addresses."""

from __future__ import annotations

from collections.abc import Iterable

from tests.lab.guest import Guest
from tests.support.secrecy import assert_no_address

from . import expected
from .service import MANAGER, NAME, PATHS, PROPERTIES, UNIT, Call, ask, root_only_calls

CALLS = (
    *root_only_calls(),
    Call(f"{MANAGER}.Describe"),
    Call(f"{PROPERTIES}.GetAll", (f"string:{MANAGER}",)),
    Call(f"{MANAGER}.NoSuchMethod"),
    Call(f"{MANAGER}.PlaceSetupData", ("uint64:1",)),
)

COMMANDS = (
    f"busctl --no-pager introspect {NAME} {PATHS[MANAGER]}",
    f"systemctl --no-pager --lines=200 status {UNIT}",
    f"systemctl show -P StatusText {UNIT}",
    f"journalctl --no-pager --unit {UNIT}",
    "ls -R /run/kexecprepd",
    "cat /run/kexecprepd/setup_data /run/kexecprepd/snapshot.json",
)

CTL = tuple(f"kexecprepctl {each}" for each in ("status", "check", "map", "findings", "dump -"))
"""Apart, as an emulated processor takes seconds to start a Python program."""

ALONE = ("tester",)
WITH_JOURNAL = ("tester", "systemd-journal", "adm")
"""Groups: what a user is shown of the journal depends on them."""


def seen(guest: Guest, commands: Iterable[str], groups: Iterable[str] = ALONE) -> str:
    """All that the commands, and every call, bring, words of refusal too; no address is in it."""
    user = f"setpriv --reuid=tester --regid=tester --groups={','.join(groups)} --"
    script = "".join(f"{user} {command} 2>&1\n" for command in commands)
    texts = [guest.run(["sh", "-c", f"{script}true"], timeout=900).stdout]
    texts += [answer.text for answer in ask(guest, CALLS, user="tester")]
    text = "\n".join(texts)
    assert_no_address(text, expected.addresses(guest))
    return text
