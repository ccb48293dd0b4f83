# SPDX-License-Identifier: LGPL-2.1-or-later
"""The hook of kernel-install(8): what is loaded is loaded again once its files are in place."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from kexecprepd.loader import request
from tests.support.daemon import CHECKOUT

from .live import on_machine

Hook = Callable[[str], list[str]]

HOOK = CHECKOUT / "packaging/hooks/95-kexecprepd.install"
START = "start kexecprepd-reload.service"


@pytest.fixture
def hook(top: Path, tree: Path) -> Hook:
    """Run the hook after a kernel was added; what it has started, with the service in a state."""
    (tree / "run/systemd/system").mkdir(parents=True)
    systemctl, calls = top / "systemctl", top / "calls"

    def run(state: str) -> list[str]:
        systemctl.write_text(f'#!/bin/sh\necho "$*" >>{calls}\n[ "$1" = start ] || echo {state}\n')
        systemctl.chmod(0o755)
        command = ("env", f"PATH={top}:/usr/bin:/bin", "sh", str(HOOK), "add", "6.1.0", "/boot")
        subprocess.run(on_machine(tree, *command), check=True)
        return [each for each in calls.read_text().splitlines() if each.startswith("start ")]

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
    assert hook(state) == [START]


@pytest.mark.usefixtures("loaded")
def test_a_load_that_has_begun_before_is_followed_by_another(hook: Hook) -> None:
    assert hook("activating") == [START, START]


def test_where_nothing_is_loaded_nothing_is_started(hook: Hook) -> None:
    assert hook("inactive") == []
