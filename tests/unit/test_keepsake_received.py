# SPDX-License-Identifier: LGPL-2.1-or-later
"""What systemd gives back to the daemon, as a process of its own finds it."""

import subprocess

import pytest

from kexecprepd.core.keepsake import LIMIT, Keepsake
from kexecprepd.core.receipt import Unusable
from kexecprepd.daemon.keepsake import received
from tests.support.daemon import CHECKOUT
from tests.support.file_store import ALL_SEALS, NAME, Kept
from tests.support.file_store import given as given_files
from tests.support.keepsakes import BEFORE, OWN
from tests.support.notify_socket import DEADLINE


def found_by_process(*files: Kept, **environment: str) -> str:
    """What `received` makes of these files, of which no descriptor is left then; systemd's
    variables are as they should be, but for these.
    """
    program = (
        "import os; from kexecprepd.daemon.keepsake import received; found = received(); "
        "print(found, [fd for fd in range(3, 8) if os.path.exists(f'/proc/self/fd/{fd}')], sep='|')"
    )
    changes = [f"{name}={value}" for name, value in environment.items()]
    command = [*given_files(files), "env", *changes, "/usr/bin/python3", "-c", program]
    done = subprocess.run(
        command, cwd=CHECKOUT, capture_output=True, text=True, timeout=DEADLINE, check=True
    )
    assert done.stderr == ""
    found, _, left = done.stdout.strip().rpartition("|")
    assert left == "[]"
    return found


def test_what_systemd_gives_is_found_by_its_name_wherever_its_position_is() -> None:
    keepsake = Keepsake(OWN, BEFORE)

    found = found_by_process(Kept(b"{}", name="other"), Kept(keepsake.pack()))

    assert found == str((keepsake,))


def test_each_of_several_is_found() -> None:
    one, other = Keepsake(OWN, None), Keepsake(OWN, BEFORE)
    files = [Kept(b"{"), Kept(one.pack()), Kept(other.pack())]

    assert found_by_process(*files) == str((Unusable("it is not JSON"), one, other))


@pytest.mark.parametrize(
    "variables",
    [
        {"LISTEN_FDNAMES": ""},
        {"LISTEN_FDNAMES": f"{NAME}-x:{NAME.upper()}"},
        {"LISTEN_FDNAMES": f"other:another:{NAME}"},
    ],
)
def test_what_has_another_name_is_closed_and_not_read(variables: dict[str, str]) -> None:
    assert found_by_process(Kept(b"{"), Kept(b"{"), **variables) == "()"


def test_of_a_name_without_a_file_nothing_is_known() -> None:
    more = {"LISTEN_FDS": "3", "LISTEN_FDNAMES": f"{NAME}:x:{NAME}"}

    found = found_by_process(Kept(b"{"), Kept(b"x", name="x"), **more)

    assert found.count("Unusable") == 2
    assert "Bad file descriptor" in found


@pytest.mark.parametrize("count", ["", "-1", "1e3", " 1", "²", "9" * 5000])
def test_a_count_that_systemd_would_not_give_is_passed_over(count: str) -> None:
    assert found_by_process(LISTEN_FDS=count, LISTEN_FDNAMES=NAME) == "()"


@pytest.mark.parametrize("seal", [1, 2, 4, 8])
def test_a_file_that_can_still_be_changed_is_not_used(seal: int) -> None:
    file = Kept(Keepsake(OWN, None).pack(), seals=ALL_SEALS & ~seal)

    assert found_by_process(file) == str((Unusable("it is not sealed"),))


def test_a_file_that_is_as_long_as_can_be_is_read() -> None:
    keepsake = Keepsake(OWN, None)

    assert found_by_process(Kept(keepsake.pack().ljust(LIMIT))) == str((keepsake,))


def test_a_file_that_is_too_long_is_not_read() -> None:
    found = found_by_process(Kept(b" " * (LIMIT + 1)))

    assert found == str((Unusable("it is longer than 8192 bytes"),))


def test_what_is_no_file_of_memory_is_not_read() -> None:
    assert "no file of memory" in found_by_process(Kept(None))


def test_files_for_another_process_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("PID", "1"), ("FDS", "1"), ("FDNAMES", NAME)):
        monkeypatch.setenv(f"LISTEN_{name}", value)

    assert received() == ()
