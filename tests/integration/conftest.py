# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the integration tests have in common: a recorded tree, a bus, the daemon and a client."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.daemon import Daemon, running
from tests.support.kernels import bzimage
from tests.support.private_bus import OPEN_POLICY, PrivateBus, private_bus
from tests.support.recordings import materialise

from .client import Client, connected

RECORDING = "deb12-6.1-ovmf-q35-1g"
"""A healthy machine that was booted by its firmware."""


@pytest.fixture
def top() -> Iterator[Path]:
    """A directory that every user can reach, which pytest's own is not; its path is short."""
    path = Path(tempfile.mkdtemp(prefix="kexecprepd-test."))
    try:
        path.chmod(0o755)
        yield path
    finally:
        shutil.rmtree(path)


@pytest.fixture
def tree(top: Path) -> Path:
    """The root of a healthy machine's recorded tree."""
    return materialise(RECORDING, top / "root")


@pytest.fixture
def kernel(top: Path) -> Path:
    """A kernel that every loader takes, and none can start."""
    path = top / "vmlinuz"
    path.write_bytes(bzimage())
    return path


@pytest.fixture
def bus(top: Path) -> Iterator[PrivateBus]:
    """A system bus with the policy that is shipped."""
    with private_bus(top) as bus:
        yield bus


@pytest.fixture
def open_bus(top: Path) -> Iterator[PrivateBus]:
    """A bus that lets everyone do everything."""
    with private_bus(top, OPEN_POLICY) as bus:
        yield bus


@pytest.fixture
def daemon(bus: PrivateBus, top: Path, tree: Path) -> Iterator[Daemon]:
    """The daemon, ready, on `bus` and `tree`."""
    with running(top, tree, bus.environment) as daemon:
        yield daemon


@pytest.fixture
def client(bus: PrivateBus) -> Iterator[Client]:
    """Root's connection to `bus`."""
    with connected(bus.address) as client:
        yield client
