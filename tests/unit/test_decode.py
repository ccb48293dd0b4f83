# SPDX-License-Identifier: LGPL-2.1-or-later
"""kexecprepctl decode: what is handed from kernel to kernel, explained, and no traceback."""

import json
import struct
from pathlib import Path
from typing import Any

import pytest

from kexecprepd.ctl.__main__ import main
from kexecprepd.ctl.exits import Exit
from tests.support.receipts import FROM, NODE, members
from tests.support.recordings import BOOT_PARAMS, SETUP_DATA, add_setup_data


def fields(capsys: pytest.CaptureFixture[str], path: Path) -> dict[str, Any]:
    assert main(["decode", str(path), "--json=short"]) == 0
    told = json.loads(capsys.readouterr().out)
    return {"kind": told["kind"], **{f["name"]: f["value"] for f in told["fields"]}}


@pytest.fixture
def image(tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    path = tmp_path / "image"
    assert main(["--root", str(tree), "dump", str(path)]) == 0
    capsys.readouterr()
    return path


def test_an_image(image: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = fields(capsys, image)
    assert (told["kind"], told["type"], told["len"]) == ("image", 4, 96)
    data = image.read_bytes()
    assert told["fw_vendor"] == struct.unpack_from("<Q", data, 16)[0]
    assert told["5.attribute"] == struct.unpack_from("<Q", data, 112 + 5 * 40 + 32)[0]


def test_an_image_that_is_placed_and_odd_is_noted(
    image: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = bytearray(image.read_bytes())
    data[0], data[116] = 8, 1
    image.write_bytes(data)
    assert main(["decode", str(image)]) == 0
    shown = capsys.readouterr().out
    assert "It is linked" in shown
    assert "padding of descriptor 0" in shown


def test_boot_params(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = fields(capsys, tree / BOOT_PARAMS)
    assert (told["kind"], told["efi_loader_signature"]) == ("boot_params", "EL64")
    assert told["e820.0.type"] == 1


def test_nodes(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    add_setup_data(tree, NODE, json.dumps(members(tree)).encode())
    add_setup_data(tree, 9, b"xyzzy seed")
    assert fields(capsys, tree / SETUP_DATA / "0")["from-boot-id"] == FROM
    assert fields(capsys, tree / SETUP_DATA / "0/data")["from-boot-id"] == FROM
    assert "xyzzy" not in str(fields(capsys, tree / SETUP_DATA / "1"))


def test_a_snapshot_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "snapshot.json"
    path.write_text('{"format":1,"generation":3,"snapshot":{"runtime-map":[{"type":5}]}}')
    assert fields(capsys, path)["snapshot.runtime-map.0.type"] == 5


DAMAGED = {
    "empty": b"",
    "a few bytes": b"\x04",
    "zeros": bytes(5000),
    "text": b"This is a text of some length.",
    "half a node": struct.pack("<QII", 0, 4, 96) + bytes(50),
    "a short node": struct.pack("<QII", 0, 4, 8) + bytes(8),
    "half a descriptor": struct.pack("<QII", 0, 4, 96) + bytes(96 + 50),
    "a bad receipt": struct.pack("<QII", 0, NODE, 2) + b"{}",
    "half JSON": b'{"format":1,',
    "deep JSON": b'{"a":' + b"[" * 100_000,
    "deep members": b'{"generation":1,"snapshot":' + b"[" * 900 + b"]" * 900 + b"}",
    "other JSON": b'{"format":1}',
    "half an archive": b"\x1f\x8b\x08",
}


@pytest.mark.parametrize("name", DAMAGED)
def test_what_it_cannot_be_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    path = tmp_path / "file"
    path.write_bytes(DAMAGED[name])

    assert main(["decode", str(path)]) == Exit.FAILED

    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith(f"kexecprepctl: {path} ")


def test_a_folder_that_is_no_node_is_not_called_broken_sysfs(
    tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["decode", str(tree)]) == Exit.FAILED
    assert "not that of a setup_data node" in capsys.readouterr().err


def test_of_a_recording_it_shows_no_empty_columns(
    tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "recording"
    assert main(["-q", "--root", str(tree), "record", str(file)]) == 0
    assert main(["decode", str(file)]) == 0
    _, _, heading, *_ = capsys.readouterr().out.splitlines()
    assert heading.split() == ["SIZE", "FIELD"]


def test_standard_input_is_explained(
    image: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with image.open() as opened:
        monkeypatch.setattr("sys.stdin", opened)
        assert main(["decode", "-"]) == 0
    assert "fw_vendor" in capsys.readouterr().out


def test_a_file_of_a_gibibyte_is_not_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with (tmp_path / "file").open("wb") as file:
        file.truncate(1 << 30)
    assert main(["decode", str(tmp_path / "file")]) == Exit.FAILED
    assert "longer than" in capsys.readouterr().err
