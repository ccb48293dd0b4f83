# SPDX-License-Identifier: LGPL-2.1-or-later
"""kexecprepctl's JSON: what its schemas promise, and that what it prints from a tree keeps it."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, ValidationError

from kexecprepd.core.generation import first
from kexecprepd.core.timestamp import Timestamp
from kexecprepd.core.unreadable import Unreadable
from kexecprepd.ctl.__main__ import main
from kexecprepd.ctl.output import SCHEMA
from kexecprepd.daemon.cache import document
from tests.support.kernels import bzimage
from tests.support.recordings import (
    BGRT_KEXEC_FILE,
    BOOT_ID,
    EFI,
    KEXEC_SYSCALL,
    MIXED_MODE,
    NO_RUNTIME,
    materialise,
    remove,
    set_region,
    write,
)
from tests.support.schemas import SCHEMAS, VERBS, conform, schema
from tests.support.snapshots import read_snapshot

TOP = 1 << 64


def printed(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> Any:
    """The JSON that kexecprepctl prints."""
    main([*map(str, arguments), "--json=short"])
    return json.loads(capsys.readouterr().out)


def objects(part: Any) -> Iterator[dict[str, Any]]:
    """The members of every object that a schema describes."""
    if isinstance(part, dict):
        if part.get("type") == "object" and "properties" in part:
            yield part["properties"]
        for each in part.values():
            yield from objects(each)
    elif isinstance(part, list):
        for each in part:
            yield from objects(each)


@pytest.mark.parametrize("name", [*VERBS, "common", "snapshot"])
def test_every_file_is_a_json_schema(name: str) -> None:
    Draft202012Validator.check_schema(json.loads((SCHEMAS / f"{name}.json").read_text("utf-8")))


@pytest.mark.parametrize("verb", VERBS)
def test_every_wide_number_has_itself_in_hexadecimal_beside(verb: str) -> None:
    for members in objects(schema(verb)):
        wide = {n for n, each in members.items() if "/u64" in each.get("$ref", "")}
        assert {f"{name}-hex" for name in wide} == {n for n in members if n.endswith("-hex")}


@pytest.mark.parametrize("verb", VERBS)
def test_names_are_in_kebab_case_and_there_is_a_number(verb: str) -> None:
    names = {name for members in objects(schema(verb)) for name in members}
    assert [name for name in names if not re.fullmatch("[a-z0-9]+(-[a-z0-9]+)*", name)] == []
    assert "schema" in schema(verb)["required"]
    assert schema(verb)["$defs"]["schema"]["const"] == SCHEMA


def test_what_is_not_in_the_schema_is_found() -> None:
    conform("unload", {"schema": SCHEMA, "unloaded": True})
    for wrong in ({"unloaded": True}, {"schema": SCHEMA, "unloaded": True, "why": ""}):
        with pytest.raises(ValidationError):
            conform("unload", wrong)


@pytest.mark.parametrize("name", [BGRT_KEXEC_FILE, KEXEC_SYSCALL, MIXED_MODE, NO_RUNTIME])
def test_what_is_printed_of_a_machine(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tree = materialise(name, tmp_path / "tree")
    for verb in ("check", "map", "findings"):
        conform(verb, printed(capsys, verb, "--root", tree))


@pytest.mark.parametrize(
    "damage",
    [
        lambda tree: set_region(tree, 1, num_pages=0),
        lambda tree: set_region(tree, 1, virt_addr=TOP - 0x1000),
        lambda tree: write(tree, f"{EFI}/systab", "SMBIOS=0x7f520000\n"),
        lambda tree: remove(tree, EFI),
    ],
    ids=["invalid", "end of the address space", "degraded", "unsupported"],
)
def test_what_is_printed_in_every_state(
    damage: Any, tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damage(tree)
    for verb in ("check", "map", "findings"):
        conform(verb, printed(capsys, verb, "--root", tree))


def test_what_is_printed_of_a_kernel(
    tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kernel = tmp_path / "vmlinuz"
    kernel.write_bytes(bzimage())
    for line in ("", "noefi"):
        shown = printed(capsys, "check", "--root", tree, "--kernel", kernel, "--append", line)
        conform("check", shown)
        assert bool(shown["kernel"]["losses"]) is bool(line)
    dry_run = ("load", "--dry-run", "--root", tree, kernel)
    for way in ("load", "file"):
        shown = printed(capsys, *dry_run, f"--syscall={way}")
        conform("load", shown)
        assert shown["syscall"] == way


@pytest.mark.parametrize("name", [BGRT_KEXEC_FILE, KEXEC_SYSCALL, MIXED_MODE, NO_RUNTIME])
def test_what_the_daemon_keeps_of_a_machine(name: str, tmp_path: Path) -> None:
    reading = read_snapshot(materialise(name, tmp_path / "tree"))
    for each in (reading, Unreadable("sysfs-missing", "sys", "is not there", "Mount it.")):
        kept = document(first(each, BOOT_ID, Timestamp(1, 2)))
        conform("snapshot", json.loads(json.dumps(kept)))


def test_a_recording_of_a_machine_tells_what_is_in_it(
    tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "machine"
    conform("record", printed(capsys, "record", "--root", tree, file))
    conform("decode", printed(capsys, "decode", file))
    conform("status", printed(capsys, "status", "--root", file))
    conform("check", printed(capsys, "check", "--root", file))
    conform("map", printed(capsys, "map", "--root", file, "--svg", tmp_path / "picture"))


def test_what_is_decoded_and_compared(
    tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = tmp_path / "image"
    main(["dump", "--root", str(tree), str(image)])
    capsys.readouterr()
    shown = printed(capsys, "decode", image)
    conform("decode", shown)
    assert {f["value-hex"] for f in shown["fields"] if isinstance(f["value"], int)} != {None}
    other = materialise(MIXED_MODE, tmp_path / "other")
    for sides in ((image, image), (tree, other), (image, tree)):
        conform("diff", printed(capsys, "diff", *sides))


def test_an_image_that_is_written_tells_what_it_is(
    tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    conform("dump", printed(capsys, "dump", "--root", tree, tmp_path / "image"))


def test_a_number_that_a_double_would_round_is_whole_in_hexadecimal(
    tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    set_region(tree, 0, attribute=0x8000_0000_0000_000F)
    region = printed(capsys, "map", "--root", tree)["runtime-map"][0]
    assert region["attribute-hex"] == "0x800000000000000f"
    assert int(float(region["attribute"])) != region["attribute"]


def test_the_details_of_a_finding_are_in_hexadecimal_too(
    tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    set_region(tree, 1, num_pages=0)
    (first, *_) = printed(capsys, "findings", "--root", tree)["findings"]
    assert (first["details"]["region"], first["details"]["region-hex"]) == (1, "0x1")
