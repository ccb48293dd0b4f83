# SPDX-License-Identifier: LGPL-2.1-or-later
"""The follower: what it goes on from at its start, and how it follows sysfs."""

import json
import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from kexecprepd.core.finding import State
from kexecprepd.core.generation import Handover
from kexecprepd.core.image import sha256
from kexecprepd.daemon import cache
from kexecprepd.daemon.follower import Follower
from kexecprepd.reading.clock import boot_id
from tests.support import recordings
from tests.support.recordings import (
    BOOT_ID,
    EFI,
    MEMMAP,
    RUNTIME_MAP,
    add_range,
    remove,
    set_region,
    write,
)
from tests.support.secrecy import addresses_in

OTHER_BOOT = "5b0e0a52-90f2-4d1c-8a0f-3cf1a5b0c111"


@pytest.fixture(autouse=True)
def _log_everything(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)


def cache_file(root: Path, name: str) -> Path:
    return root / "run/kexecprepd" / name


def start(root: Path, boot: str = BOOT_ID) -> Follower:
    """A follower that has begun, wired to the cache as by the daemon that owns the bus name."""
    follower = Follower(root, boot)
    follower.subscribe(lambda handover, _: cache.keep(root, handover))
    follower.begin()
    return follower


def stored(root: Path) -> Follower:
    """A follower of this boot that has counted to 2 and written its cache."""
    follower = start(root)
    add_range(root, 0x9_0000_0000, 0x9_0FFF_FFFF, "System RAM")
    assert follower.look()
    assert follower.handover.generation == 2
    return follower


def plug(root: Path) -> None:
    add_range(root, 0xA_0000_0000, 0xA_0FFF_FFFF, "System RAM")


class Announced(list[tuple[str, ...]]):
    """The changes that a follower tells of."""

    def __init__(self, follower: Follower) -> None:
        super().__init__()
        follower.subscribe(lambda handover, names: self.append(names))


def test_a_first_start_counts_from_1(tree: Path, caplog: pytest.LogCaptureFixture) -> None:
    follower = start(tree)

    assert (follower.handover.generation, follower.missed) == (1, ())
    assert follower.handover.assessment.state is State.READY
    assert "There is no cache yet." in caplog.text


def test_a_restarted_follower_adopts_its_cache(
    tree: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = stored(tree).handover

    follower = start(tree)

    assert follower.handover == before
    assert follower.missed == ()
    assert "Adopted the cache of generation 2" in caplog.text


def test_the_cache_of_another_boot_is_discarded_with_its_count(
    tree: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stored(tree)

    follower = start(tree, OTHER_BOOT)

    assert (follower.handover.generation, follower.missed) == (1, ())
    assert follower.handover.boot_id == OTHER_BOOT
    assert "another boot" in caplog.text


@pytest.mark.parametrize(
    ("change", "missed"),
    [
        (plug, "memmap"),
        (lambda root: remove(root, f"{MEMMAP}/3"), "memmap"),
        (lambda root: set_region(root, 0, num_pages=0x200), "runtime-map"),
        (lambda root: write(root, f"{EFI}/systab", ""), "efi-tables"),
        (lambda root: write(root, "proc/cmdline", "quiet\n"), "efi-info"),
    ],
)
def test_a_change_that_nobody_saw_is_missed_and_counted(
    tree: Path, change: Callable[[Path], None], missed: str, caplog: pytest.LogCaptureFixture
) -> None:
    taken = stored(tree).handover.taken
    change(tree)

    follower = Follower(tree, BOOT_ID)
    announced = Announced(follower)
    follower.begin()

    assert follower.missed == (missed,)
    assert announced == [(missed,)]
    assert follower.handover.generation == 3
    assert follower.handover.taken != taken
    assert f"sysfs has changed since ({missed})" in caplog.text


def test_another_failure_than_the_cached_one_is_counted(tree: Path) -> None:
    remove(tree, f"{MEMMAP}/3/end")
    before = start(tree).handover
    write(tree, f"{MEMMAP}/3/end", "0x80ffff\n")
    remove(tree, f"{MEMMAP}/3/type")

    follower = start(tree)

    assert follower.handover.generation == before.generation + 1
    assert follower.handover.assessment.reason != before.assessment.reason


def flip_a_bit(path: Path) -> None:
    path.chmod(0o600)
    content = bytearray(path.read_bytes())
    content[120] ^= 0x10
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [flip_a_bit, lambda path: path.resolve().unlink()])
def test_a_damaged_image_is_discarded_and_the_count_goes_on(
    tree: Path, damage: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    before = stored(tree).handover
    damage(cache_file(tree, "setup_data"))

    follower = start(tree)

    assert follower.handover.generation == 3
    assert follower.handover.assessment == before.assessment
    assert "Discarded the cache: setup_data" in caplog.text


@pytest.mark.parametrize(
    ("content", "words"),
    [("", "not JSON"), ("{", "not JSON"), ('{"format": 99}', "not of format")],
)
def test_a_damaged_snapshot_is_discarded_in_words(
    tree: Path, content: str, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    stored(tree)
    cache_file(tree, "snapshot.json").chmod(0o600)
    cache_file(tree, "snapshot.json").write_text(content)

    follower = start(tree)

    assert (follower.handover.generation, follower.missed) == (1, ())
    assert words in caplog.text
    assert "Discarded the cache" in caplog.text


def test_an_image_alone_is_discarded(tree: Path, caplog: pytest.LogCaptureFixture) -> None:
    stored(tree)
    cache_file(tree, "snapshot.json").unlink()

    assert start(tree).handover.generation == 1
    assert "Discarded the cache" in caplog.text


def test_an_image_of_the_right_digest_that_sysfs_does_not_amount_to_is_discarded(
    tree: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stored(tree)
    # As another version of the daemon would have packed it.
    image = cache_file(tree, "setup_data")
    flip_a_bit(image)
    path = cache_file(tree, "snapshot.json")
    content = json.loads(path.read_text())
    content["sha256"] = sha256(image.read_bytes())
    path.chmod(0o600)
    path.write_text(json.dumps(content))

    follower = start(tree)

    assert follower.handover.generation == 3
    assert follower.handover.assessment.sha256 != content["sha256"]
    assert "Discarded the cache" in caplog.text


def test_only_a_follower_that_begins_touches_the_cache_and_the_journal(
    tree: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stored(tree)
    plug(tree)
    before = cache_file(tree, "snapshot.json").read_bytes()
    caplog.clear()

    follower = Follower(tree, BOOT_ID)
    follower.subscribe(lambda handover, _: cache.keep(tree, handover))

    assert cache_file(tree, "snapshot.json").read_bytes() == before
    assert not caplog.records
    follower.begin()
    assert json.loads(cache_file(tree, "snapshot.json").read_text())["generation"] == 3
    assert caplog.records


def test_what_was_discarded_is_replaced_on_disk(tree: Path) -> None:
    stored(tree)
    flip_a_bit(cache_file(tree, "setup_data"))

    follower = start(tree)
    follower.begin()

    assert cache_file(tree, "setup_data").read_bytes() == follower.handover.assessment.image
    assert start(tree).handover == follower.handover


def test_a_refresh_without_a_change_announces_nothing(tree: Path) -> None:
    follower = start(tree)
    announced = Announced(follower)
    before = follower.handover

    assert not follower.look()
    assert follower.handover is before
    assert announced == []


def test_a_change_is_announced_once_after_it_was_stored(tree: Path) -> None:
    follower = start(tree)
    on_disk: list[int] = []
    plug(tree)

    def note(handover: Handover, names: tuple[str, ...]) -> None:
        assert names == ("memmap",)
        assert handover is follower.handover
        on_disk.append(json.loads(cache_file(tree, "snapshot.json").read_text())["generation"])

    follower.subscribe(note)
    assert follower.look()
    assert not follower.look()
    assert on_disk == [2]
    assert follower.handover.generation == 2


def test_plugged_memory_does_not_change_the_image(tree: Path) -> None:
    follower = start(tree)
    before = follower.handover.assessment.sha256
    plug(tree)
    follower.look()

    assert follower.handover.assessment.sha256 == before


def test_a_reading_that_fails_is_invalid_names_the_file_and_takes_the_image_away(
    tree: Path, caplog: pytest.LogCaptureFixture
) -> None:
    follower = stored(tree)
    announced = Announced(follower)
    remove(tree, f"{RUNTIME_MAP}/2/type")

    assert follower.look()

    assessment = follower.handover.assessment
    assert assessment.state is State.INVALID
    assert str(tree / RUNTIME_MAP / "2/type") in assessment.reason
    assert (assessment.image, follower.handover.snapshot) == (None, None)
    assert announced == [("runtime-map", "memmap", "efi-tables", "efi-info")]
    assert not cache_file(tree, "setup_data").exists()
    assert str(tree / RUNTIME_MAP / "2/type") in caplog.text
    levels = {each.levelname for each in caplog.records if ", invalid: " in each.getMessage()}
    assert levels == {"ERROR"}


def test_what_is_the_same_of_several_regions_is_logged_once(
    tree: Path, caplog: pytest.LogCaptureFixture
) -> None:
    follower = stored(tree)
    for number in (1, 2, 3):
        set_region(tree, number, num_pages=0)

    follower.look()

    (told,) = (each for each in caplog.messages if each.startswith("region-empty: "))
    assert "; 3 cases, in regions 1, 2 and 3." in told


def test_the_same_failure_is_told_once_and_another_one_again(tree: Path) -> None:
    follower = start(tree)
    write(tree, f"{RUNTIME_MAP}/2/type", "?\n")
    assert follower.look()
    assert not follower.look()
    write(tree, f"{RUNTIME_MAP}/1/type", "?\n")

    assert follower.look()

    assert follower.handover.generation == 3
    assert str(tree / RUNTIME_MAP / "1/type") in follower.handover.assessment.reason


def test_a_follower_recovers_when_the_files_do(tree: Path) -> None:
    follower = stored(tree)
    image = follower.handover.assessment.image
    write(tree, f"{RUNTIME_MAP}/2/type", "?\n")
    follower.look()
    write(tree, f"{RUNTIME_MAP}/2/type", "0x5\n")

    assert follower.look()

    assert follower.handover.assessment.state is State.READY
    assert follower.handover.assessment.image == image
    assert follower.handover.generation == 4
    assert cache_file(tree, "setup_data").read_bytes() == image


def test_a_start_on_unreadable_files_is_invalid_and_a_restart_adopts_nothing_stale(
    tree: Path,
) -> None:
    stored(tree)
    write(tree, f"{EFI}/systab", "?\n")

    follower = start(tree)

    assert follower.handover.assessment.state is State.INVALID
    assert follower.missed == ("runtime-map", "memmap", "efi-tables", "efi-info")
    assert follower.handover.generation == 3


def test_a_cache_that_cannot_be_written_is_logged_and_no_more(
    tree: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(tree, "run", "a file")
    follower = start(tree)
    announced = Announced(follower)
    plug(tree)

    assert follower.look()

    assert announced == [("memmap",)]
    assert "cannot be written" in caplog.text


def test_findings_are_logged_with_their_hint_and_without_addresses(
    tree: Path, caplog: pytest.LogCaptureFixture
) -> None:
    set_region(tree, 1, num_pages=0)
    set_region(tree, 2, virt_addr=0)

    follower = start(tree)

    for finding in follower.handover.assessment.findings:
        assert f"{finding.code}: {finding.message} {finding.hint}" in caplog.text
    assert {record.levelno for record in caplog.records if "region-" in record.message} == {
        logging.ERROR
    }
    assert not addresses_in(caplog.text)


def test_the_boot_id_is_the_trees_own(tree: Path) -> None:
    assert boot_id(tree) == BOOT_ID


def test_a_tree_of_sys_alone_is_of_the_running_boot(tmp_path: Path) -> None:
    root = recordings.materialise(recordings.FIRST_KERNEL, tmp_path, cmdline=False)

    assert boot_id(root) == Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def test_what_the_sandbox_hides_of_proc_comes_as_a_credential(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "kexecprepd.boot_id").write_text(OTHER_BOOT + "\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert boot_id(Path("/")) == OTHER_BOOT


def test_a_credential_is_not_for_another_tree(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tree / "kexecprepd.boot_id").write_text(OTHER_BOOT + "\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tree))
    assert boot_id(tree) == BOOT_ID
