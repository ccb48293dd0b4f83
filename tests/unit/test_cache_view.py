# SPDX-License-Identifier: LGPL-2.1-or-later
"""The view in the cache: always there, of the pair's generation, with the kernel's modes."""

import os
import stat
from pathlib import Path

import pytest

from kexecprepd.core.generation import Handover, first
from kexecprepd.core.timestamp import Timestamp
from kexecprepd.core.view import FOLDERS, view
from kexecprepd.daemon import cache
from tests.support import recordings
from tests.support.recordings import BOOT_ID, set_region
from tests.support.snapshots import read_snapshot


def handover_of(root: Path) -> Handover:
    return first(read_snapshot(root), BOOT_ID, Timestamp(1, 1))


def directory(root: Path) -> Path:
    return root / "run/kexecprepd"


def modes(paths: "list[Path]") -> set[int]:
    return {stat.S_IMODE(path.stat().st_mode) for path in paths}


def test_every_file_of_the_view_and_no_other(tree: Path) -> None:
    handover = handover_of(tree)
    cache.write(tree, handover)

    for folder, files in view(handover).items():
        top = directory(tree) / "view" / folder.name
        found = {str(p.relative_to(top)): p.read_bytes() for p in top.glob("*/*")}
        assert found == {file.path: file.content for file in files} != {}
    assert len(list((directory(tree) / "view").iterdir())) == len(FOLDERS)


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_it_has_the_kernel_s_modes(tree: Path, umask: int) -> None:
    old = os.umask(umask)
    try:
        cache.write(tree, handover_of(tree))
    finally:
        os.umask(old)

    top = directory(tree) / "view"
    assert modes([top, *(each for each in top.rglob("*") if each.is_dir())]) == {0o755}
    assert modes(list(top.glob("memmap/*/*"))) == {0o444}
    assert modes(list(top.glob("runtime-map/*/*"))) == {0o400}


@pytest.mark.parametrize("state", ["invalid", "unsupported"])
def test_both_folders_are_there_without_an_image(tree: Path, state: str) -> None:
    cache.write(tree, handover_of(tree))
    if state == "invalid":
        set_region(tree, 1, num_pages=0)
    else:
        recordings.remove(tree, recordings.EFI)
    cache.write(tree, handover_of(tree))

    assert list((directory(tree) / "view/runtime-map").iterdir()) == []
    assert list((directory(tree) / "view/memmap").iterdir()) != []


def test_it_changes_in_the_step_in_which_the_pair_does(tree: Path) -> None:
    cache.write(tree, handover_of(tree))
    before = (directory(tree) / "current").resolve()
    set_region(tree, 1, num_pages=0)
    cache.write(tree, handover_of(tree))

    # One link leads to all three, and nothing below it is ever written again.
    after = (directory(tree) / "current").resolve()
    assert before != after
    for name in ("snapshot.json", "view"):
        assert (directory(tree) / name).resolve() == after / name
        assert os.readlink(directory(tree) / name) == f"current/{name}"
