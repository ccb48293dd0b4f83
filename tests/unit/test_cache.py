# SPDX-License-Identifier: LGPL-2.1-or-later
"""The cache in /run: two files that belong together at every moment."""

import hashlib
import json
import os
import stat
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kexecprepd.core.generation import Handover, first, numbered
from kexecprepd.core.timestamp import Timestamp
from kexecprepd.daemon import cache
from kexecprepd.daemon.cache import CacheError
from tests.support import recordings
from tests.support.recordings import BOOT_ID, materialise, set_region
from tests.support.snapshots import read_snapshot

TAKEN = Timestamp(1_700_000_000_000_000, 42_000_000)


def handover_of(root: Path, generation: int = 1) -> Handover:
    return numbered(first(read_snapshot(root), BOOT_ID, TAKEN), generation, TAKEN)


def directory(root: Path) -> Path:
    return root / "run/kexecprepd"


def image_file(root: Path) -> Path:
    return directory(root) / "setup_data"


def snapshot_file(root: Path) -> Path:
    return directory(root) / "snapshot.json"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def rewrite(path: Path, content: bytes) -> None:
    """Damage a file of the cache in place."""
    path.chmod(0o600)
    path.write_bytes(content)


def edit(root: Path, **members: Any) -> None:
    """Change members of snapshot.json; None takes one away."""
    content = json.loads(snapshot_file(root).read_text())
    content |= {name.replace("_", "-"): value for name, value in members.items()}
    kept = {name: value for name, value in content.items() if value is not None}
    rewrite(snapshot_file(root), json.dumps(kept).encode())


def test_the_image_is_in_a_file_of_its_own(tree: Path) -> None:
    handover = handover_of(tree)
    cache.write(tree, handover)

    assert image_file(tree).read_bytes() == handover.assessment.image


def test_what_is_written_is_read_again(tree: Path) -> None:
    handover = handover_of(tree, 7)
    cache.write(tree, handover)

    cached = cache.read(tree)

    assert cached is not None
    assert (cached.boot_id, cached.generation, cached.taken) == (BOOT_ID, 7, TAKEN)
    assert cached.parts == handover.parts
    assert cached.sha256 == handover.assessment.sha256
    assert cached.mismatch is None


def test_the_snapshot_says_all_that_a_late_script_needs(tree: Path) -> None:
    cache.write(tree, handover_of(tree, 3))

    content = json.loads(snapshot_file(tree).read_text())

    digest = hashlib.sha256(image_file(tree).read_bytes()).hexdigest()
    assert (content["format"], content["generation"], content["state"]) == (1, 3, "ready")
    assert content["sha256"] == content["info"]["sha256"] == digest
    assert content["boot-id"] == content["info"]["boot-id"] == BOOT_ID
    info = content["info"]
    assert (info["memmap-offset"], info["memmap-size"]) == (112, 240)
    assert (info["memdesc-size"], info["memdesc-version"]) == (40, 1)
    assert bytes.fromhex(info["efi-info"])[:4] == b"EL64"
    assert info["excluded-ranges"][0][:2] == [0x7DD3_B000, 0x7DD3_BFFF]


def test_a_finding_is_kept_with_its_numbers(tree: Path) -> None:
    set_region(tree, 1, num_pages=0)
    cache.write(tree, handover_of(tree))

    finding, *_ = json.loads(snapshot_file(tree).read_text())["findings"]

    assert (finding["code"], finding["severity"]) == ("region-empty", "error")
    assert finding["details"]["region"] == 1


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_only_root_can_look_into_the_cache(tree: Path, umask: int) -> None:
    (tree / "run").mkdir()
    old = os.umask(umask)
    try:
        cache.write(tree, handover_of(tree))
    finally:
        os.umask(old)

    assert mode(directory(tree)) == 0o700
    assert mode(image_file(tree)) == 0o400
    assert mode(snapshot_file(tree)) == 0o400


def test_a_directory_that_others_could_enter_is_closed(tree: Path) -> None:
    directory(tree).mkdir(parents=True)
    directory(tree).chmod(0o755)

    cache.write(tree, handover_of(tree))

    assert mode(directory(tree)) == 0o700


@pytest.mark.parametrize("state", ["invalid", "unsupported"])
def test_no_image_is_left_where_none_may_be_handed_over(tree: Path, state: str) -> None:
    cache.write(tree, handover_of(tree))
    if state == "invalid":
        set_region(tree, 1, num_pages=0)
    else:
        recordings.remove(tree, recordings.RUNTIME_MAP)

    cache.write(tree, handover_of(tree, 2))

    assert not os.path.lexists(image_file(tree))
    assert json.loads(snapshot_file(tree).read_text())["state"] == state
    assert not list(directory(tree).rglob("setup_data"))
    cached = cache.read(tree)
    assert cached is not None
    assert (cached.generation, cached.sha256, cached.mismatch) == (2, "", None)


def test_an_image_comes_back_when_it_may_be_handed_over_again(tree: Path) -> None:
    set_region(tree, 1, num_pages=0)
    cache.write(tree, handover_of(tree))
    set_region(tree, 1, num_pages=0x84)
    good = handover_of(tree, 2)

    cache.write(tree, good)

    assert image_file(tree).read_bytes() == good.assessment.image


def test_many_writes_leave_the_pair_and_its_predecessor(tree: Path) -> None:
    handover = handover_of(tree)
    for generation in range(1, 20):
        cache.write(tree, numbered(handover, generation, TAKEN))

    assert len(list(directory(tree).glob("pair.*"))) == 2
    cached = cache.read(tree)
    assert cached is not None
    assert cached.generation == 19


def test_a_reader_that_followed_the_old_link_still_finds_its_files(tree: Path) -> None:
    handover = handover_of(tree)
    cache.write(tree, handover)
    followed = directory(tree) / os.readlink(directory(tree) / "current")

    cache.write(tree, numbered(handover, 2, TAKEN))

    assert (followed / "setup_data").read_bytes() == handover.assessment.image


def test_what_a_killed_writer_left_is_cleared_away(tree: Path) -> None:
    left = directory(tree) / "pair.killed"
    left.mkdir(parents=True)
    (left / "setup_data").write_bytes(b"half")
    (directory(tree) / ".current.new").symlink_to("pair.killed")

    cache.write(tree, handover_of(tree))

    assert not left.exists()
    cached = cache.read(tree)
    assert cached is not None
    assert cached.mismatch is None


def test_no_cache_is_none(tree: Path) -> None:
    assert cache.read(tree) is None


def test_an_image_alone_is_an_error_in_words(tree: Path) -> None:
    directory(tree).mkdir(parents=True)
    image_file(tree).write_bytes(b"image")

    with pytest.raises(CacheError, match=r"setup_data .*without snapshot\.json"):
        cache.read(tree)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe\xfd",
        b"[" * 100_000,
        b'{"format": 1',
        b"[]",
        b"null",
        b"{}",
        b'{"format": 2}',
        b'{"format": "1"}',
        b'{"format": 1}',
    ],
    ids=lambda content: repr(content[:16]),
)
def test_content_that_is_no_snapshot_is_an_error_in_words(tree: Path, content: bytes) -> None:
    cache.write(tree, handover_of(tree))
    rewrite(snapshot_file(tree), content)

    with pytest.raises(CacheError, match=r"snapshot\.json"):
        cache.read(tree)


def test_a_snapshot_of_another_format_is_not_taken_at_its_word(tree: Path) -> None:
    cache.write(tree, handover_of(tree))
    edit(tree, format=2)

    with pytest.raises(CacheError, match="format"):
        cache.read(tree)


def test_a_truncated_snapshot_is_an_error_wherever_it_ends(tree: Path) -> None:
    cache.write(tree, handover_of(tree))
    whole = snapshot_file(tree).read_bytes().rstrip()

    for size in range(0, len(whole), 97):
        rewrite(snapshot_file(tree), whole[:size])
        with pytest.raises(CacheError, match="not JSON"):
            cache.read(tree)


@pytest.mark.parametrize(
    ("members", "named"),
    [
        ({"boot_id": None}, "boot-id"),
        ({"boot_id": 1}, "boot-id"),
        ({"generation": None}, "generation"),
        ({"generation": "1"}, "generation"),
        ({"generation": True}, "generation"),
        ({"generation": 0}, "generation"),
        ({"generation": -1}, "generation"),
        ({"generation": 1 << 64}, "generation"),
        ({"generation": 1.0}, "generation"),
        ({"timestamp": None}, "timestamp"),
        ({"timestamp_monotonic": None}, "timestamp-monotonic"),
        ({"snapshot": None}, "snapshot"),
        ({"snapshot": []}, "snapshot"),
        ({"sha256": None}, "sha256"),
        ({"sha256": 0}, "sha256"),
    ],
)
def test_a_member_that_is_missing_or_makes_no_sense_is_named(
    tree: Path, members: dict[str, Any], named: str
) -> None:
    cache.write(tree, handover_of(tree))
    edit(tree, **members)

    with pytest.raises(CacheError, match=named):
        cache.read(tree)


def test_a_flipped_bit_in_the_image_is_a_mismatch(tree: Path) -> None:
    cache.write(tree, handover_of(tree))
    image = bytearray(image_file(tree).read_bytes())
    image[200] ^= 1
    rewrite(image_file(tree), bytes(image))

    cached = cache.read(tree)

    assert cached is not None
    assert cached.mismatch is not None
    assert "setup_data" in cached.mismatch


def test_a_missing_image_is_a_mismatch(tree: Path) -> None:
    cache.write(tree, handover_of(tree))
    image_file(tree).resolve().unlink()

    cached = cache.read(tree)

    assert cached is not None
    assert cached.mismatch is not None


def test_an_image_beside_a_snapshot_that_has_none_is_a_mismatch(tree: Path) -> None:
    set_region(tree, 1, num_pages=0)
    cache.write(tree, handover_of(tree))
    image_file(tree).write_bytes(b"image")

    cached = cache.read(tree)

    assert cached is not None
    assert cached.mismatch is not None


@pytest.fixture
def _short_turns() -> Iterator[None]:
    """Have threads take turns all the time, and not after 5 ms of waiting."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("_short_turns")
def test_a_reader_never_meets_a_mismatched_pair(tree: Path, tmp_path: Path) -> None:
    other = handover_of(materialise(recordings.KEXEC_FILE, tmp_path / "other"))
    broken = materialise(recordings.FIRST_KERNEL, tmp_path / "broken")
    set_region(broken, 1, num_pages=0)
    cycle = (handover_of(tree), other, handover_of(broken))
    cache.write(tree, cycle[0])
    stop = threading.Event()
    seen: set[str] = set()
    wrong: list[object] = []
    generations: list[int] = []

    def look() -> None:
        """Read as the manual tells: open the directory `current` once, and both files in it."""
        while not stop.is_set() and not wrong:
            try:
                fd = os.open(directory(tree) / "current", os.O_RDONLY | os.O_DIRECTORY)
            except FileNotFoundError:
                continue  # taken away between the link and the directory
            try:
                document = json.loads(read_in(fd, "snapshot.json"))
                image = read_in(fd, "setup_data") if document["sha256"] else b""
            except FileNotFoundError:
                continue  # taken away under the reader: gone, but never another one's
            except ValueError as error:
                wrong.append(error)
                return
            finally:
                os.close(fd)
            found = hashlib.sha256(image).hexdigest() if image else ""
            if found != document["sha256"]:
                wrong.append(document["generation"])
            seen.add(found)
            generations.append(document["generation"])

    reader = threading.Thread(target=look)
    reader.start()
    generation = 1
    # Until the reader has seen each of the three; it gives up by itself when it sees a fourth.
    while generation < 60 or (len(seen) < 3 and reader.is_alive()):
        generation += 1
        cache.write(tree, numbered(cycle[generation % 3], generation, TAKEN))
    stop.set()
    reader.join()

    assert not wrong
    assert seen == {each.assessment.sha256 for each in cycle}
    assert generations == sorted(generations)


def read_in(directory_fd: int, name: str) -> bytes:
    with open(os.open(name, os.O_RDONLY, dir_fd=directory_fd), "rb") as file:
        return file.read()
