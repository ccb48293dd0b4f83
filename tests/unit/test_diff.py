# SPDX-License-Identifier: LGPL-2.1-or-later
"""kexecprepctl diff: what is not the same of two machines, images or moments."""

import json
from pathlib import Path
from typing import Any

import pytest

from kexecprepd.ctl.__main__ import main
from kexecprepd.ctl.exits import Exit
from tests.support.recordings import add_range, remove, set_region, write


def diff(
    capsys: pytest.CaptureFixture[str], before: Path, after: Path
) -> tuple[int, dict[str, Any]]:
    capsys.readouterr()
    code = main(["diff", str(before), str(after), "--json=short"])
    return code, json.loads(capsys.readouterr().out)


def test_what_has_changed_since_a_recording(
    tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recording, image = tmp_path / "recording", tmp_path / "image"
    assert main(["--root", str(tree), "record", str(recording)]) == 0
    assert main(["--root", str(tree), "dump", str(image)]) == 0

    code, told = diff(capsys, recording, tree)
    assert (code, told["same"], told["differences"]) == (Exit.OK, True, [])
    assert told["compared"] == ["verdict", "kernel", "system", "memory map", "image"]

    set_region(tree, 1, num_pages=3)
    add_range(tree, 0x3_0000_0000, 0x3_0FFF_FFFF, "System RAM")
    code, told = diff(capsys, recording, tree)
    assert code == Exit.DIFFERENT
    found = {(d["subject"], d["name"]): (d["before"], d["after"]) for d in told["differences"]}
    assert found["memory map", "0x0300000000-0x030fffffff"] == (None, "System RAM")
    assert [values for (_, name), values in found.items() if name.endswith("num_pages")] == [
        ("132", "3")
    ]

    code, told = diff(capsys, image, tree)
    assert (code, told["compared"]) == (Exit.DIFFERENT, ["image"])
    assert main(["diff", str(image), str(tree)]) == Exit.DIFFERENT
    assert "num_pages" in capsys.readouterr().out


def test_another_kernel_and_what_it_allows_are_differences(
    tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recording = tmp_path / "recording"
    assert main(["--root", str(tree), "record", str(recording)]) == 0
    write(tree, "proc/version", "Linux version 7.2.0\n")
    write(tree, "proc/sys/kernel/kexec_load_disabled", "1\n")
    _, told = diff(capsys, recording, tree)
    assert {"version", "load_disabled"} <= {d["name"] for d in told["differences"]}


def test_where_nothing_is_compared_nothing_is_the_same(
    tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = tmp_path / "image"
    assert main(["--root", str(tree), "dump", str(image)]) == 0
    remove(tree, "sys/firmware/efi")
    assert main(["diff", str(image), str(tree)]) == Exit.FAILED
    assert "nothing in common" in capsys.readouterr().err


@pytest.mark.parametrize("line", ["diff daemon daemon", "decode x"])
def test_what_is_not_of_a_tree_refuses_root(
    tree: Path, capsys: pytest.CaptureFixture[str], line: str
) -> None:
    assert main(["--root", str(tree), *line.split()]) == Exit.USAGE


def test_an_image_is_the_same_wherever_it_is_placed(
    tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image, placed = tmp_path / "image", tmp_path / "placed"
    assert main(["--root", str(tree), "dump", str(image)]) == 0
    placed.write_bytes(b"\x08" + image.read_bytes()[1:])
    assert diff(capsys, image, placed)[0] == Exit.OK


@pytest.mark.parametrize("content", [b"", b"text", b"\x1f\x8b\x08", bytes(112)])
def test_what_is_neither_is_one_sentence(
    tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes
) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    assert main(["diff", str(tree), str(path)]) == Exit.FAILED
    said = capsys.readouterr().err
    assert said.startswith(f"kexecprepctl: {path} is no recording")
    assert content or "0 bytes are not" in said


def test_a_folder_that_is_no_tree_is_told_what_is_missing(
    tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["diff", str(tmp_path / "none"), str(tree)]) == Exit.FAILED
    (tmp_path / "none").mkdir()
    capsys.readouterr()
    assert main(["diff", str(tmp_path / "none"), str(tree)]) == Exit.FAILED
    assert "it has no sys/" in capsys.readouterr().err
