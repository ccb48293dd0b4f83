# SPDX-License-Identifier: LGPL-2.1-or-later
"""Who gets what over the real bus: by the shipped policy, and by the daemon itself without it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from xml.etree import ElementTree

import pytest

from tests.lab.guest import Guest

from .machines import COMBINATIONS, on
from .service import (
    LOG_CONTROL,
    MANAGER,
    NAME,
    PATHS,
    PROPERTIES,
    ROOT_ONLY,
    Answer,
    Call,
    ask,
    properties,
    root_only_calls,
)

pytestmark = [pytest.mark.vm, on(COMBINATIONS)]

POLICY = "/usr/share/dbus-1/system.d/org.kexecprepd1.conf"
OPEN_POLICY = f"""<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <policy context="default">
    <allow own="{NAME}"/>
    <allow send_destination="{NAME}"/>
  </policy>
</busconfig>
"""
BY_THE_BUS = "org.freedesktop.DBus.Error.AccessDenied"
BY_THE_DAEMON = "org.kexecprepd1.Error.AccessDenied"

CALLS = root_only_calls()
DESCRIBE = Call(f"{MANAGER}.Describe")


def interface(guest: Guest) -> ElementTree.Element:
    """The interface Manager, as the daemon itself tells an unprivileged user."""
    command = ["busctl", "--xml-interface", "introspect", NAME, PATHS[MANAGER]]
    top = ElementTree.fromstring(guest.run(command, user="tester").stdout)
    found = top.find(f"interface[@name='{MANAGER}']")
    assert found is not None
    return found


@dataclass(frozen=True)
class Answers:
    """What an unprivileged user was told, and what root was, under some policy."""

    user: dict[Call, Answer]
    root: dict[Call, Answer]


@contextmanager
def policy(guest: Guest, content: str | None) -> Iterator[None]:
    """Another policy for our name in place of the shipped one, or none at all."""
    shipped = guest.read_file(POLICY)
    bus = "org.freedesktop.DBus"
    reload_bus = ["busctl", "call", bus, "/org/freedesktop/DBus", bus, "ReloadConfig"]
    try:
        if content is None:
            guest.run(["rm", POLICY])
        else:
            guest.write_file(POLICY, content.encode())
        guest.run(reload_bus)
        yield
    finally:
        guest.write_file(POLICY, shipped)
        guest.run(reload_bus)


def answers(guest: Guest) -> Answers:
    """Ask for all that is for root alone, and for what is not."""
    calls = [*CALLS, DESCRIBE]
    asked = (ask(guest, calls, user=user) for user in ("tester", None))
    user, root = (dict(zip(calls, got, strict=True)) for got in asked)
    return Answers(user, root)


@pytest.fixture(scope="module")
def shipped(guest: Guest) -> Answers:
    """The answers under the shipped policy."""
    return answers(guest)


@pytest.fixture(scope="module")
def opened(guest: Guest) -> Answers:
    """The answers where the bus lets everyone call everything."""
    with policy(guest, OPEN_POLICY):
        return answers(guest)


@pytest.fixture(scope="module")
def closed(guest: Guest) -> Answers:
    """The answers without a policy file: the bus' own default is left."""
    with policy(guest, None):
        return answers(guest)


def test_the_methods_for_root_are_those_that_the_interface_marks(guest: Guest) -> None:
    marked = "annotation[@name='org.freedesktop.systemd1.Privileged'][@value='true']"
    methods = interface(guest).iter("method")
    privileged = {each.attrib["name"] for each in methods if each.find(marked) is not None}
    assert privileged == {*ROOT_ONLY}


@pytest.mark.parametrize("which", CALLS, ids=lambda each: each.member.split(".")[-1])
def test_an_unprivileged_user_is_refused_what_is_for_root(
    shipped: Answers, opened: Answers, which: Call
) -> None:
    assert shipped.user[which].error == BY_THE_BUS
    assert opened.user[which].error == BY_THE_DAEMON
    assert opened.user[which].text.strip() == (
        "This is for root alone: it tells physical addresses, or steers the daemon."
    )


def test_root_is_let_in_by_both(shipped: Answers, opened: Answers) -> None:
    for given in (shipped, opened):
        errors = {each.error for each in given.root.values()}
        assert not errors & {BY_THE_BUS, BY_THE_DAEMON}


def test_the_open_policy_was_in_force(opened: Answers) -> None:
    # Else the daemon would not have been asked: nothing but the bus answers with the other name.
    assert {each.error for each in opened.user.values()} == {BY_THE_DAEMON, None}


def test_without_a_policy_file_nobody_gets_anything(closed: Answers) -> None:
    # Not even root: the bus' default policy refuses method calls that nothing allows.
    got = {*closed.user.values(), *closed.root.values()}
    assert {each.error for each in got} == {BY_THE_BUS}


def test_the_policy_is_back(guest: Guest, opened: Answers, closed: Answers) -> None:
    assert ask(guest, [DESCRIBE], user="tester")[0].error is None
    assert ask(guest, CALLS[:1], user="tester")[0].error == BY_THE_BUS
    assert ask(guest, CALLS[:1])[0].error is None


def test_everyone_gets_every_property(guest: Guest) -> None:
    names = [each.attrib["name"] for each in interface(guest).iter("property")]
    got = properties(guest, user="tester")
    assert sorted(got) == sorted(names)
    get = [Call(f"{PROPERTIES}.Get", (f"string:{MANAGER}", f"string:{name}")) for name in names]
    refused = {
        name: each
        for name, each in zip(names, ask(guest, get, "tester"), strict=True)
        if each.error
    }
    assert refused == {}
    assert got == properties(guest)


def test_everyone_gets_them_from_describe(guest: Guest) -> None:
    command = ["busctl", "--json=short", "call", NAME, PATHS[MANAGER], MANAGER, "Describe"]
    (text,) = json.loads(guest.run(command, user="tester").stdout)["data"]
    assert json.loads(text) == properties(guest)


def test_everyone_gets_the_log_level(guest: Guest) -> None:
    level = Call(
        f"{PROPERTIES}.Get", (f"string:{LOG_CONTROL}", "string:LogLevel"), PATHS[LOG_CONTROL]
    )
    (answer,) = ask(guest, [level], user="tester")
    assert 'string "info"' in answer.text


def test_kexecprepctl_refuses_with_exit_code_7_and_says_what_to_do(guest: Guest) -> None:
    done = guest.run(["kexecprepctl", "map"], user="tester", check=False)
    assert (done.returncode, done.stdout) == (7, "")
    assert done.stderr.startswith("kexecprepctl: Only root may ask for this")


def test_kexecprepctl_says_yes_to_everyone(guest: Guest) -> None:
    done = guest.run(["kexecprepctl", "check"], user="tester")
    assert done.stdout.startswith("ready: Yes")


def test_the_cache_is_out_of_reach(guest: Guest) -> None:
    for path in ("", "/setup_data", "/snapshot.json"):
        command = ["sh", "-c", f"cat /run/kexecprepd{path} || ls /run/kexecprepd{path}"]
        done = guest.run(command, user="tester", check=False)
        assert (done.returncode != 0, done.stdout) == (True, "")


def test_nobody_but_root_and_the_daemon_may_own_the_name(guest: Guest) -> None:
    bus = "org.freedesktop.DBus"
    own = ["busctl", "call", bus, "/", bus, "RequestName", "su", NAME, "0"]
    assert "Access denied" in guest.run(own, user="tester", check=False).stderr
