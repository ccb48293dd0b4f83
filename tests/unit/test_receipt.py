# SPDX-License-Identifier: LGPL-2.1-or-later
"""The receipt: what a loader writes is what the next kernel's daemon reads, and nothing breaks."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from kexecprepd.core.facilities import FACILITIES
from kexecprepd.core.generation import parts_of
from kexecprepd.core.origin import StartedBy, origin
from kexecprepd.core.receipt import Receipt, Unusable, parse
from kexecprepd.core.verdict import assess
from kexecprepd.reading.kernel import read_origin
from tests.support.made_up import EXAMPLES, spoilt
from tests.support.receipts import FROM, NODE, add_receipt, members
from tests.support.recordings import (
    BGRT_KEXEC_FILE,
    BOOT_PARAMS,
    FIRST_KERNEL,
    KEXEC_SYSCALL,
    add_setup_data,
    materialise,
    patch,
    remove,
)
from tests.support.snapshots import read_snapshot

WHOLE: dict[str, Any] = {
    "format": 1,
    "from-boot-id": FROM,
    "kexec-count": 2,
    "generation": 3,
    "sha256": "ab" * 32,
    "region-count": 8,
    "had": ["variables", "option-roms"],
    "loader": "kexecprepctl 0.2",
    "loaded-at": 1_800_000_000_000_000,
}


def test_a_receipt_is_read_as_it_was_written() -> None:
    receipt = parse(json.dumps(WHOLE).encode())

    assert isinstance(receipt, Receipt)
    assert json.loads(receipt.pack()) == WHOLE
    assert parse(receipt.pack()) == receipt


def test_a_receipt_is_of_one_size_whatever_it_says() -> None:
    longest = {**WHOLE, "loader": "x" * 64, "had": list(FACILITIES), "loaded-at": (1 << 63) - 1}
    longest |= {"kexec-count": (1 << 32) - 1, "generation": (1 << 63) - 1}
    for content in (longest, {**WHOLE, "sha256": "", "region-count": 0}):
        receipt = parse(json.dumps(content).encode())
        assert isinstance(receipt, Receipt)
        assert len(receipt.pack()) == 1024


@pytest.mark.parametrize("name", ["kexec-count", "generation", "had"])
def test_what_the_loader_did_not_know_may_be_left_out(name: str) -> None:
    content = {key: value for key, value in WHOLE.items() if key != name}

    receipt = parse(json.dumps(content).encode())

    assert isinstance(receipt, Receipt)
    assert receipt.members() == content


def test_members_that_are_not_known_are_passed_over() -> None:
    assert parse(json.dumps({**WHOLE, "colour": [1, {}]}).encode()) == parse(
        json.dumps(WHOLE).encode()
    )


def test_a_load_without_efi_has_a_receipt_too() -> None:
    receipt = parse(json.dumps({**WHOLE, "sha256": "", "region-count": 0}).encode())

    assert isinstance(receipt, Receipt)


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        (None, "longer than 4096 bytes"),
        (b" " * 4097, "longer than 4096 bytes"),
        (b"", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b'{"format": 1', "not JSON"),
        (b'{"format": NaN}', "not JSON"),
        (b'{"format": 1, "loaded-at": -Infinity}', "not JSON"),
        (b"[" * 4096, "not JSON"),
        (b'{"a":' * 800, "not JSON"),
        (b"[]", "no JSON object"),
        (b"1", "no JSON object"),
        (b"{}", "no format"),
        (b'{"format": true}', "no format"),
        (b'{"format": 1.0}', "no format"),
        (b'{"format": "1"}', "no format"),
    ],
)
def test_damage_ends_in_words(payload: bytes | None, words: str) -> None:
    found = parse(payload)

    assert isinstance(found, Unusable)
    assert words in found.problem
    assert not found.foreign


@pytest.mark.parametrize("number", [2, 10**3000], ids=["2", "huge"])
def test_a_format_of_the_future_is_no_damage(number: int) -> None:
    found = parse(json.dumps({**WHOLE, "format": number}).encode())

    assert isinstance(found, Unusable)
    assert found.foreign


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("from-boot-id", "4f"),
        ("from-boot-id", FROM + "\n"),
        ("from-boot-id", None),
        ("kexec-count", 0),
        ("kexec-count", True),
        ("kexec-count", 1 << 32),
        ("kexec-count", 10**3000),
        ("kexec-count", 1.0),
        ("generation", 0),
        ("generation", 1 << 63),
        ("sha256", "AB" * 32),
        ("sha256", "ab"),
        ("region-count", -1),
        ("region-count", "8"),
        ("had", "variables"),
        ("had", {"variables": True}),
        ("had", ["Variables"]),
        ("had", [1]),
        ("loader", ""),
        ("loader", "x" * 65),
        ("loader", "\x1b[31m"),
        ("loader", "\ud800"),
        ("loader", "a\0b"),
        ("loaded-at", 0),
        ("loaded-at", 1e300),
        ("loaded-at", 1 << 63),
    ],
    ids=lambda value: str(value)[:20].encode("ascii", "backslashreplace").decode(),
)
def test_a_member_that_cannot_be_true_spoils_the_receipt_and_is_named(
    name: str, value: object
) -> None:
    found = parse(json.dumps({**WHOLE, name: value}).encode())

    assert isinstance(found, Unusable)
    assert name in found.problem


@EXAMPLES
@given(spoilt(WHOLE))
def test_no_bytes_at_all_are_an_error(payload: bytes) -> None:
    assert isinstance(parse(payload), Receipt | Unusable)


def test_a_mebibyte_of_receipt_leaves_the_rest_of_the_reading_as_it_was(tmp_path: Path) -> None:
    root = materialise(KEXEC_SYSCALL, tmp_path)
    before = assess(read_snapshot(root)).image
    add_setup_data(root, NODE, b"[" * (1 << 20))

    snapshot = read_snapshot(root)

    assert isinstance(snapshot.receipt, Unusable)
    assert assess(snapshot).image == before


def test_the_parts_of_a_reading_without_a_receipt_are_as_they_always_were(tmp_path: Path) -> None:
    root = materialise(KEXEC_SYSCALL, tmp_path)
    before = parts_of(read_snapshot(root))
    add_receipt(root)

    after = parts_of(read_snapshot(root))

    assert "receipt" not in before
    assert after["receipt"] == members(root)


@pytest.mark.parametrize(
    ("recording", "by", "count"),
    [
        (FIRST_KERNEL, StartedBy.BOOT_LOADER, 0),
        (KEXEC_SYSCALL, StartedBy.KEXEC, None),
        (BGRT_KEXEC_FILE, StartedBy.KEXEC, None),
    ],
)
def test_a_kernel_without_a_receipt_knows_its_count_if_no_kexec_was(
    recording: str, by: StartedBy, count: int | None, tmp_path: Path
) -> None:
    found = read_origin(materialise(recording, tmp_path))

    assert (found.started_by, found.kexec_count) == (by, count)
    assert found.next_count == (None if count is None else 1)


def test_a_receipt_brings_the_count(tmp_path: Path) -> None:
    root = materialise(KEXEC_SYSCALL, tmp_path)
    add_receipt(root, kexec_count=2)

    found = read_origin(root)

    assert (found.started_by, found.kexec_count, found.next_count) == (StartedBy.KEXEC, 2, 3)


def test_a_count_that_the_receipt_does_not_have_stays_unknown(tmp_path: Path) -> None:
    root = materialise(KEXEC_SYSCALL, tmp_path)
    add_receipt(root, kexec_count=None)

    assert (read_origin(root).kexec_count, read_origin(root).next_count) == (None, None)


def test_a_loader_that_does_not_call_itself_kexec_is_told_by_its_receipt(tree: Path) -> None:
    add_receipt(tree)

    assert read_origin(tree).started_by is StartedBy.KEXEC


def test_a_loader_that_does_not_call_itself_kexec_is_told_by_the_efi_that_it_handed_over(
    tmp_path: Path,
) -> None:
    root = materialise(KEXEC_SYSCALL, tmp_path)
    patch(root, BOOT_PARAMS, 0x210, b"\x21")

    assert read_origin(root).started_by is StartedBy.KEXEC


def test_a_kernel_that_does_not_show_what_it_was_handed_is_of_unknown_origin(tree: Path) -> None:
    remove(tree, "sys/kernel/boot_params")

    assert read_origin(tree) == origin(None, ())
    assert read_origin(tree).started_by is StartedBy.UNKNOWN


def test_a_format_below_the_first_one_is_none() -> None:
    assert parse(b'{"format":0}') == Unusable("it has no format")
