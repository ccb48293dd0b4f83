# SPDX-License-Identifier: LGPL-2.1-or-later
"""The keepsake: what a daemon has systemd keep, and what the next kernel's daemon makes of it."""

import json
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kexecprepd.core.facilities import FACILITIES
from kexecprepd.core.finding import Severity
from kexecprepd.core.generation import changed, parts_of
from kexecprepd.core.keepsake import LIMIT, Keepsake, parse
from kexecprepd.core.origin import StartedBy
from kexecprepd.core.receipt import Receipt, Unusable
from kexecprepd.core.rules import validate
from kexecprepd.core.verdict import assess
from kexecprepd.daemon.keepsake import received
from kexecprepd.reading.kernel import read_origin
from tests.support.daemon import CHECKOUT
from tests.support.file_store import ALL_SEALS, NAME, Kept
from tests.support.file_store import given as given_files
from tests.support.made_up import EXAMPLES
from tests.support.notify_socket import DEADLINE
from tests.support.receipts import FROM, add_receipt, members
from tests.support.recordings import FIRST_KERNEL, KEXEC_FILE, KEXEC_SYSCALL, materialise, remove
from tests.support.snapshots import read_snapshot

OWN = Receipt(
    from_boot_id=FROM,
    sha256="ab" * 32,
    region_count=8,
    loader="kexecprepd 0.2",
    loaded_at=1_800_000_000_000_000,
    kexec_count=2,
    generation=3,
    kept=True,
)
BEFORE = replace(OWN, from_boot_id="7a" + FROM[2:], kexec_count=1)
WHOLE: dict[str, Any] = json.loads(Keepsake(OWN, BEFORE).pack())


def test_a_keepsake_is_read_as_it_was_written() -> None:
    for before in (BEFORE, None):
        assert parse(Keepsake(OWN, before).pack()) == Keepsake(OWN, before)


def test_any_reader_of_receipts_can_read_it() -> None:
    assert {name: WHOLE[name] for name in ("format", "from-boot-id", "sha256", "kept")} == {
        "format": 1,
        "from-boot-id": FROM,
        "sha256": "ab" * 32,
        "kept": True,
    }


def test_the_longest_one_is_within_the_limit() -> None:
    longest = replace(
        OWN,
        region_count=(1 << 32) - 1,
        loader="x" * 64,
        loaded_at=(1 << 63) - 1,
        kexec_count=(1 << 32) - 1,
        generation=(1 << 63) - 1,
        had=tuple(FACILITIES),
    )

    assert len(Keepsake(longest, longest).pack()) < LIMIT


def test_of_this_boot_it_is_our_own_and_of_another_the_last_kernels() -> None:
    assert Keepsake(OWN, BEFORE).for_boot(FROM) == BEFORE
    assert Keepsake(OWN, None).for_boot(FROM) is None
    assert Keepsake(OWN, BEFORE).for_boot("another") == OWN


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        (None, "longer than 8192 bytes"),
        (b" " * 8193, "longer than 8192 bytes"),
        (b"", "not JSON"),
        (json.dumps(WHOLE).encode()[:-1], "not JSON"),
        (b"[]", "no JSON object"),
        (b"{}", "no format"),
        (json.dumps({**WHOLE, "format": 2}).encode(), "another format"),
        (json.dumps({**WHOLE, "kept": 1}).encode(), "kept"),
        (json.dumps({**WHOLE, "sha256": "x"}).encode(), "sha256"),
        (json.dumps({**WHOLE, "before": []}).encode(), "before"),
        (json.dumps({**WHOLE, "before": {**WHOLE, "loader": "\x1b"}}).encode(), "loader"),
    ],
)
def test_damage_ends_in_words(payload: bytes | None, words: str) -> None:
    found = parse(payload)

    assert isinstance(found, Unusable)
    assert words in found.problem


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@EXAMPLES
@given(st.binary(max_size=200) | st.dictionaries(st.sampled_from(list(WHOLE)), JSON))
def test_no_bytes_at_all_are_an_error(payload: bytes | dict[str, object]) -> None:
    data = payload if isinstance(payload, bytes) else json.dumps({**WHOLE, **payload}).encode()

    assert isinstance(parse(data), Keepsake | Unusable)


# What it says of how this kernel was started.


def kept(root: Path, **changes: Any) -> Receipt:
    """What fits a tree, with these changes."""
    content = json.dumps({**members(root, had=None, **changes), "kept": True})
    found = parse(content.encode())
    assert isinstance(found, Keepsake)
    return found.own


def test_it_brings_the_count_where_there_is_no_receipt(tmp_path: Path) -> None:
    root = materialise(KEXEC_FILE, tmp_path)

    found = read_origin(root, kept(root, kexec_count=4))

    assert (found.started_by, found.kexec_count, found.next_count) == (StartedBy.KEXEC, 4, 5)


def test_the_receipt_counts_where_there_are_both(tmp_path: Path) -> None:
    root = materialise(KEXEC_SYSCALL, tmp_path)
    add_receipt(root, kexec_count=2)

    found = read_origin(root, kept(root, kexec_count=7))

    assert found.kexec_count == 2
    assert found.receipt is not None
    assert not found.receipt.kept


def test_it_tells_of_a_kexec_that_the_kernel_does_not_show(tree: Path) -> None:
    receipt = kept(tree)
    remove(tree, "sys/kernel/boot_params")

    assert read_origin(tree, receipt).started_by is StartedBy.KEXEC
    assert read_origin(tree, Unusable("it is not JSON")).started_by is StartedBy.UNKNOWN


def test_it_is_not_believed_where_a_boot_loader_was(tmp_path: Path) -> None:
    root = materialise(FIRST_KERNEL, tmp_path)

    found = read_origin(root, kept(root))

    assert (found.started_by, found.receipt, found.kexec_count) == (StartedBy.BOOT_LOADER, None, 0)


def test_one_that_fits_changes_nothing_of_the_verdict(tmp_path: Path) -> None:
    root = materialise(KEXEC_FILE, tmp_path)
    snapshot = read_snapshot(root)

    assert assess(replace(snapshot, kept=kept(root))) == assess(snapshot)


def test_a_daemon_that_had_no_image_says_nothing_of_what_the_kernel_packed(tmp_path: Path) -> None:
    root = materialise(KEXEC_FILE, tmp_path)
    snapshot = replace(read_snapshot(root), kept=kept(root, sha256="", region_count=0))

    assert "keepsake-differs" not in {finding.code for finding in validate(snapshot)}


@pytest.mark.parametrize("name", ["from_boot_id", "kexec_count", "sha256"])
def test_what_differs_from_the_receipt_is_named(name: str, tmp_path: Path) -> None:
    root = materialise(KEXEC_SYSCALL, tmp_path)
    add_receipt(root)
    other = {"from_boot_id": BEFORE.from_boot_id, "kexec_count": 9, "sha256": "cd" * 32}[name]
    snapshot = replace(read_snapshot(root), kept=kept(root, **{name: other}))

    (finding,) = (each for each in validate(snapshot) if each.code == "keepsake-differs")

    assert finding.details["kept"] == str(other)


def test_one_that_cannot_be_used_is_noted_and_takes_nothing_away(tmp_path: Path) -> None:
    snapshot = read_snapshot(materialise(KEXEC_FILE, tmp_path))

    assessment = assess(replace(snapshot, kept=Unusable("it is not JSON")))

    assert (assessment.state, assessment.image) == (
        assess(snapshot).state,
        assess(snapshot).image,
    )
    noted = {(each.code, each.severity) for each in assessment.findings}
    assert ("keepsake-unusable", Severity.INFO) in noted


def test_a_reading_s_parts_tell_of_it_and_that_it_came_is_no_change_of_the_map(tree: Path) -> None:
    snapshot = read_snapshot(tree)
    without = parts_of(snapshot)
    parts = parts_of(replace(snapshot, kept=OWN))
    unusable = parts_of(replace(snapshot, kept=Unusable("it is not sealed")))

    assert "kept" not in without
    assert parts == {**without, "kept": OWN.members()}
    assert unusable["kept"] == {"unusable": "it is not sealed"}
    assert changed(without, parts) == ()


# What systemd gives, as a process of its own finds it.


def found_by_process(*files: Kept) -> str:
    """What `received` makes of these files, and which descriptors are then left of them."""
    program = (
        "import os; from kexecprepd.daemon.keepsake import received; found = received(); "
        "print(found, [fd for fd in range(3, 8) if os.path.exists(f'/proc/self/fd/{fd}')], sep='|')"
    )
    command = [*given_files(files), "/usr/bin/python3", "-c", program]
    done = subprocess.run(
        command, cwd=CHECKOUT, capture_output=True, text=True, timeout=DEADLINE, check=True
    )
    assert done.stderr == ""
    found, _, left = done.stdout.strip().rpartition("|")
    assert left == "[]"
    return found


def test_what_systemd_gives_is_found_by_its_name_wherever_its_position_is() -> None:
    keepsake = Keepsake(OWN, BEFORE)

    assert found_by_process(Kept(b"{}", name="other"), Kept(keepsake.pack())) == str(keepsake)


def test_the_latest_of_several_counts() -> None:
    later = Keepsake(replace(OWN, loaded_at=OWN.loaded_at + 1), None)
    files = [Kept(b"{"), Kept(later.pack()), Kept(Keepsake(OWN, None).pack())]

    assert found_by_process(*files) == str(later)


@pytest.mark.parametrize("seal", [1, 2, 4, 8])
def test_a_file_that_can_still_be_changed_is_not_used(seal: int) -> None:
    file = Kept(Keepsake(OWN, None).pack(), seals=ALL_SEALS & ~seal)

    assert found_by_process(file) == str(Unusable("it is not sealed"))


def test_a_file_that_is_too_long_is_not_read() -> None:
    found = found_by_process(Kept(b" " * (LIMIT + 1)))

    assert found == str(Unusable("it is longer than 8192 bytes"))


def test_what_is_no_file_of_memory_is_not_read() -> None:
    assert "no file of memory" in found_by_process(Kept(None))


def test_files_for_another_process_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("PID", "1"), ("FDS", "1"), ("FDNAMES", NAME)):
        monkeypatch.setenv(f"LISTEN_{name}", value)

    assert received() is None
