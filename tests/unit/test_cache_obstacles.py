# SPDX-License-Identifier: LGPL-2.1-or-later
"""The cache where something is in its way: written all the same, or gone, and never stale."""

import os
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kexecprepd.core.generation import Handover, first, numbered
from kexecprepd.core.timestamp import Timestamp
from kexecprepd.daemon import cache
from kexecprepd.daemon.cache import CacheError
from tests.support.recordings import BOOT_ID
from tests.support.snapshots import read_snapshot

TAKEN = Timestamp(1_700_000_000_000_000, 42_000_000)
NAMES = (
    "setup_data",
    "snapshot.json",
    "view",
    "current",
    "changed",
    ".current.new",
    ".setup_data.new",
)


@pytest.fixture
def handover(tree: Path) -> Handover:
    return first(read_snapshot(tree), BOOT_ID, TAKEN)


def directory(root: Path) -> Path:
    return root / "run/kexecprepd"


def in_place(root: Path, handover: Handover) -> bool:
    """Whether all of a handover is in the cache, as its readers find it."""
    cached = cache.read(root)
    return (
        cached is not None
        and cached.mismatch is None
        and cached.generation == handover.generation
        and (directory(root) / "setup_data").read_bytes() == handover.assessment.image
        and (directory(root) / "view/memmap/0/start").is_file()
        and (directory(root) / "changed").read_text() == f"{handover.generation}\n"
    )


def a_directory(path: Path) -> None:
    (path / "below").mkdir(parents=True)
    (path / "below" / "file").write_text("in the way")


def a_file(path: Path) -> None:
    path.write_text("in the way")


def a_pipe(path: Path) -> None:
    os.mkfifo(path)


def a_link(path: Path) -> None:
    path.symlink_to("/dev/null")


OBSTACLES = (a_directory, a_file, a_pipe, a_link)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("put", OBSTACLES)
@pytest.mark.parametrize("there", [False, True], ids=["at-first", "later"])
def test_what_has_one_of_its_names_is_replaced(
    tree: Path, handover: Handover, name: str, put: Callable[[Path], None], there: bool
) -> None:
    if there:
        cache.write(tree, handover)
    directory(tree).mkdir(parents=True, exist_ok=True)
    (directory(tree) / name).unlink(missing_ok=True)
    put(directory(tree) / name)

    following = numbered(handover, 2, TAKEN)
    cache.write(tree, following)

    assert in_place(tree, following)
    assert os.readlink(directory(tree) / "current").startswith("pair.")


@pytest.mark.parametrize("name", ["setup_data", "snapshot.json"])
@pytest.mark.parametrize("put", [a_directory, a_pipe, a_link])
def test_what_has_one_of_its_names_is_no_cache_and_not_waited_for(
    tree: Path, handover: Handover, name: str, put: Callable[[Path], None]
) -> None:
    cache.write(tree, handover)
    (directory(tree) / name).unlink()
    put(directory(tree) / name)

    if name == "snapshot.json":
        with pytest.raises(CacheError, match=r"snapshot\.json"):
            cache.read(tree)
    else:
        cached = cache.read(tree)
        assert cached is not None
        assert cached.mismatch is not None


@contextmanager
def no_room() -> Iterator[None]:
    """Files of no length alone."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def links(top: Path) -> None:
    """The pair as the daemon writes it."""


def plain_files(top: Path) -> None:
    for name in ("setup_data", "snapshot.json"):
        content = (top / name).read_bytes()
        (top / name).unlink()
        (top / name).write_bytes(content)


def a_plain_directory(top: Path) -> None:
    target = (top / "current").resolve()
    (top / "current").unlink()
    target.rename(top / "current")


@pytest.mark.parametrize("form", [links, plain_files, a_plain_directory])
def test_a_write_that_fails_leaves_no_stale_pair(
    tree: Path, handover: Handover, form: Callable[[Path], None]
) -> None:
    cache.write(tree, handover)
    form(directory(tree))
    assert in_place(tree, handover)

    with no_room(), pytest.raises(CacheError, match="too large") as raised:
        cache.write(tree, numbered(handover, 2, TAKEN))

    assert not raised.value.stale
    for name in ("setup_data", "snapshot.json", "view", "current"):
        assert not os.path.lexists(directory(tree) / name)
    following = numbered(handover, 3, TAKEN)
    cache.write(tree, following)
    assert in_place(tree, following)


@pytest.mark.parametrize("name", ["run", "run/kexecprepd"])
def test_a_link_in_place_of_the_directory_is_not_followed(
    tree: Path, handover: Handover, tmp_path: Path, name: str
) -> None:
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "kexecprepd").mkdir(mode=0o755, parents=True)
    (tree / name).parent.mkdir(exist_ok=True)
    (tree / name).symlink_to(elsewhere)
    modes = [path.stat().st_mode for path in (elsewhere, elsewhere / "kexecprepd")]

    with pytest.raises(CacheError, match=f"{name}: it is a symbolic link"):
        cache.write(tree, handover)
    with pytest.raises(CacheError, match=f"{name}: it is a symbolic link"):
        cache.read(tree)

    assert modes == [path.stat().st_mode for path in (elsewhere, elsewhere / "kexecprepd")]
    assert list(elsewhere.rglob("*")) == [elsewhere / "kexecprepd"]


def test_changed_is_written_after_each_change_of_the_pair(tree: Path, handover: Handover) -> None:
    for generation in (1, 2, 3):
        following = numbered(handover, generation, TAKEN)
        cache.write(tree, following)
        assert in_place(tree, following)

    changed = directory(tree) / "changed"
    assert changed.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("in_the_way", ["run", "run/kexecprepd"])
def test_a_file_in_place_of_the_directory_is_told_in_words(
    tree: Path, handover: Handover, in_the_way: str
) -> None:
    (tree / in_the_way).parent.mkdir(exist_ok=True)
    (tree / in_the_way).write_text("")

    with pytest.raises(CacheError, match=r"kexecprepd|run") as raised:
        cache.write(tree, handover)

    assert "None" not in str(raised.value)
    assert in_the_way in str(raised.value)
