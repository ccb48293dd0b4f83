# SPDX-License-Identifier: LGPL-2.1-or-later
"""The picture of both maps: whole, well-formed, and in both colour schemes."""

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from kexecprepd.core.finding import Finding, Severity
from kexecprepd.core.snapshot import RuntimeRegion
from kexecprepd.ctl.__main__ import main
from kexecprepd.ctl.map_svg import svg
from tests.support.kernels import MIB, memory_map
from tests.support.recordings import materialise, set_region

NAME = "{http://www.w3.org/2000/svg}"
RUNTIME = 1 << 63
RANGES = memory_map((0, 1024 * MIB - 1, "System RAM"), (1024 * MIB, 2048 * MIB - 1, "<odd> & so"))


def many(count: int) -> list[RuntimeRegion]:
    """Regions with memory between each and the next."""
    return [RuntimeRegion(n, 5 + n % 2, (1100 + 4 * n) * MIB, 0, 16, RUNTIME) for n in range(count)]


def test_the_picture_in_the_readme_is_current(tmp_path: Path) -> None:
    top = materialise("deb12-6.1-ovmf-q35-bgrt", tmp_path / "root")
    picture = tmp_path / "map.svg"
    assert main(["--root", str(top), "map", "--svg", str(picture)]) == 0
    shown = Path(__file__).parents[2] / "examples/map.svg"
    assert picture.read_text() == shown.read_text(), "make it anew: examples/map.svg"


@pytest.mark.parametrize("count", [0, 6, 104])
def test_every_row_lies_within_the_picture(count: int) -> None:
    problem = Finding(Severity.ERROR, "bad", "It is <bad>.", "", {"address": 1100 * MIB})

    top = ET.fromstring(svg(many(count), RANGES, [problem]))

    width, height = float(top.attrib["width"]), float(top.attrib["height"])
    for each in top.iter(f"{NAME}text"):
        assert 0 < float(each.attrib["x"]) < width
        assert 0 < float(each.attrib["y"]) < height
    texts = [each.text or "" for each in top.iter(f"{NAME}text")]
    assert any("<odd> & so" in text for text in texts)
    assert "error: bad" in texts
    assert any("It\N{NO-BREAK SPACE}is\N{NO-BREAK SPACE}<bad>." in text for text in texts)
    rows = [each for each in top.iter(f"{NAME}rect") if each.get("class", "").startswith("box")]
    assert len(rows) <= 100
    assert height < 2200


def test_it_needs_nothing_beside_it_and_has_both_colour_schemes() -> None:
    picture = svg(many(6), RANGES, []).decode()
    assert "prefers-color-scheme:dark" in picture
    assert "href" not in picture
    assert "<script" not in picture


def test_map_writes_the_picture(
    tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    set_region(tree, 1, num_pages=0)
    file = tmp_path / "map.svg"

    assert main(["--root", str(tree), "map", "--svg", str(file)]) == 0

    assert b"region-empty" in file.read_bytes()
    assert file.stat().st_mode & 0o777 == 0o600
    assert capsys.readouterr().out == f"{file}: {file.stat().st_size} bytes\n"
