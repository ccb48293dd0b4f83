# SPDX-License-Identifier: LGPL-2.1-or-later
"""What tests of several kinds need, and what takes too long to be made twice; nothing is left."""

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab.lock import locked
from tests.support.packages import build_deb

SHARED = "KEXECPREPD_TESTS_SHARED"
"""The folder of what one of several pytest processes makes for all; it goes with the first one."""


def pytest_configure(config: pytest.Config) -> None:
    """Make the folder, unless another process is the first; and have SIGINT interrupt."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # As a shell's background job has it, and all that it starts.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if SHARED not in os.environ:
        folder = tempfile.TemporaryDirectory(prefix="kexecprepd-tests-")
        os.environ[SHARED] = folder.name
        config.add_cleanup(folder.cleanup)
        config.add_cleanup(_forget_shared)


def _forget_shared() -> None:
    del os.environ[SHARED]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep what shares a guest in one process, else the tests of a module (--dist=loadgroup)."""
    for item in items:
        item.add_marker(pytest.mark.xdist_group(_group(item)))


def _group(item: pytest.Item) -> str:
    parameters = item.callspec.params if hasattr(item, "callspec") else {}
    if "machine" in parameters:
        return str(parameters["machine"])
    return f"{item.path.stem}-{parameters.get('release', '')}".removesuffix("-")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object:
    """Say in which order the groups come, where there are any."""
    if config.getoption("dist") != "loadgroup":
        return None
    # Here, as there may be no xdist.
    from tests.support.turns import LongestFirst

    return LongestFirst(config, log)


@pytest.fixture
def tmp_path(tmp_path: Path) -> Iterator[Path]:
    """A directory of the test's own, which is gone after it."""
    yield tmp_path
    shutil.rmtree(tmp_path)


@pytest.fixture(scope="session", autouse=True)
def _nothing_is_left(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Empty pytest's directory at the end: it would keep what the last three runs made."""
    yield
    for each in tmp_path_factory.getbasetemp().iterdir():
        if each.is_dir() and not each.is_symlink():
            shutil.rmtree(each)
        else:
            each.unlink()


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of what one of several pytest processes makes for all."""
    return Path(os.environ[SHARED])


@pytest.fixture(scope="session")
def deb(shared: Path) -> Path:
    """The Debian package, built from this checkout."""
    folder = shared / "deb"
    with locked(shared / "deb.lock"):
        if folder.is_dir():
            (path,) = folder.glob("*.deb")
            return path
        return build_deb(folder)
