# SPDX-License-Identifier: LGPL-2.1-or-later
"""The hook of kernel-install(8): what is loaded is loaded again once its files are in place."""

import subprocess
from pathlib import Path
from typing import Protocol

import pytest

from kexecprepd.loader import request
from tests.support.daemon import CHECKOUT

from .live import on_machine

HOOK = CHECKOUT / "packaging/hooks/95-kexecprepd.install"
START = "start kexecprepd-reload.service"

SYSTEMCTL = """#!/bin/sh
echo "$*" >>{calls}
case $1 in
    is-active) echo {state} ;;
    start) {start} ;;
esac
"""


class Hook(Protocol):
    """Run the hook after a kernel was added, while the service is in a state and a start of it does
    what a shell's command does: how often it was started, and what was said.
    """

    def __call__(self, state: str, start: str = ":") -> tuple[list[str], str]: ...


@pytest.fixture
def hook(top: Path, tree: Path) -> Hook:
    """On the machine of the tree."""
    (tree / "run/systemd/system").mkdir(parents=True)
    systemctl, calls = top / "systemctl", top / "calls"

    def run(state: str, start: str = ":") -> tuple[list[str], str]:
        systemctl.write_text(SYSTEMCTL.format(calls=calls, state=state, start=start))
        systemctl.chmod(0o755)
        command = ("env", f"PATH={top}:/usr/bin:/bin", "sh", str(HOOK), "add", "6.1.0", "/boot")
        done = subprocess.run(
            on_machine(tree, *command), check=True, stderr=subprocess.PIPE, text=True
        )
        starts = [each for each in calls.read_text().splitlines() if each.startswith("start ")]
        return starts, done.stderr

    calls.touch()
    return run


@pytest.fixture
def loaded(tree: Path) -> None:
    """A kernel is loaded."""
    path = request.path_of(tree)
    path.parent.mkdir(parents=True)
    path.touch()


@pytest.mark.usefixtures("loaded")
@pytest.mark.parametrize("state", ["inactive", "failed"])
def test_what_is_loaded_is_loaded_again(hook: Hook, state: str) -> None:
    assert hook(state) == ([START], "")


@pytest.mark.usefixtures("loaded")
def test_a_load_that_has_begun_before_is_followed_by_another(hook: Hook) -> None:
    assert hook("activating") == ([START, START], "")


@pytest.mark.usefixtures("loaded")
@pytest.mark.parametrize("state", ["inactive", "activating"])
def test_a_load_that_fails_is_told_and_is_not_the_package_manager_s_failure(
    hook: Hook, state: str
) -> None:
    # What has failed has been unloaded, and to start it again is no failure.
    unloaded = "rm /run/kexecprepctl/loaded.json 2>/dev/null && exit 1"
    starts, said = hook(state, unloaded)
    assert starts == [START]
    assert said.startswith("kexecprepd: the kernel for kexec was not loaded again: ")


def test_where_nothing_is_loaded_nothing_is_started(hook: Hook) -> None:
    assert hook("inactive") == ([], "")
