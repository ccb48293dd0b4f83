# SPDX-License-Identifier: LGPL-2.1-or-later
"""Where `kexecprepctl dump` writes to.

Nothing is put in the place of a device, and an old file stays as it was until the new one is whole.
"""

import os
import resource
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kexecprepd.core.image import compose
from kexecprepd.ctl.__main__ import main
from tests.support.snapshots import read_snapshot


def dump(tree: Path, file: str | Path) -> int:
    return main(["--root", str(tree), "dump", str(file)])


@contextmanager
def no_room() -> Iterator[None]:
    """Files of no length alone."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_device_is_written_to_and_stays(
    tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    device = tmp_path / "device"  # a link, so that a mistake would not replace the device itself
    device.symlink_to("/dev/full")

    status = dump(tree, device)

    assert status == 1
    assert f"{device} cannot be written: no space left on device." in capsys.readouterr().err
    assert device.is_symlink()


def test_a_file_is_for_its_owner_alone_and_replaces_an_old_one(tree: Path, tmp_path: Path) -> None:
    file = tmp_path / "image"
    file.write_bytes(b"old")
    file.chmod(0o644)

    assert dump(tree, file) == 0

    assert file.read_bytes() == compose(read_snapshot(tree)).pack()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.usefixtures("capsys")
def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(
    tree: Path, tmp_path: Path
) -> None:
    file = tmp_path / "image"
    file.write_bytes(b"old")

    with no_room():
        status = dump(tree, file)

    assert status == 1
    assert file.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["image"]
