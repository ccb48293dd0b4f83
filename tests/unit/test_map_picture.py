# SPDX-License-Identifier: LGPL-2.1-or-later
"""The drawing of both maps: the firmware is where it is, and so are the problems."""

from itertools import pairwise
from pathlib import Path

import pytest

from kexecprepd.core.finding import Finding, Severity
from kexecprepd.core.intervals import Interval
from kexecprepd.core.snapshot import RuntimeRegion
from kexecprepd.core.whereabouts import where
from kexecprepd.ctl.__main__ import main
from kexecprepd.ctl.map_picture import drawn, stretches
from kexecprepd.ctl.offline import Offline
from kexecprepd.ctl.picture import WIDTH, Kind
from tests.support.kernels import MIB, memory_map
from tests.support.recordings import (
    MACHINES,
    machine,
    materialise_machine,
    set_region,
)

RANGES = memory_map(
    (0, 0x9_FFFF, "System RAM"),
    (MIB, 64 * MIB - 1, "System RAM"),
    (64 * MIB, 65 * MIB - 1, "Reserved"),
)
RUNTIME = 1 << 63
FIRMWARE = RuntimeRegion(0, 6, 64 * MIB, 0xFFFF_FFFE_0000_0000, 16, RUNTIME)
TABLES = RuntimeRegion(1, 4, 32 * MIB, 0xFFFF_FFFE_1000_0000, 1, RUNTIME)


def finding(**details: int) -> Finding:
    numbers = {name.replace("_", "-"): value for name, value in details.items()}
    return Finding(Severity.ERROR, "some-code", "Something is wrong.", "Mend it.", numbers)


def rows(text: str) -> list[str]:
    """The drawing's lines, each without the bar, one row with all of its lines joined."""
    joined: list[str] = []
    for line in text.split("\n"):
        words = line.translate(dict.fromkeys(map(ord, "|#~.+-"), " "))
        if line.startswith("0x"):
            joined.append(" ".join(words.split()))
        elif joined:
            joined[-1] += " " + " ".join(words.split())
    return joined


def test_every_address_is_in_one_stretch_and_the_firmware_comes_first() -> None:
    found = stretches([FIRMWARE, TABLES], RANGES)

    assert (found[0].start, found[-1].end) == (0, 65 * MIB - 1)
    for before, after in pairwise(found):
        assert after.start == before.end + 1
    by_start = {each.start: (each.end, each.kind, each.what) for each in found}
    assert by_start[TABLES.phys_addr] == (TABLES.phys_end, Kind.KEPT, ("BootServicesData",))
    assert by_start[64 * MIB] == (FIRMWARE.phys_end, Kind.FIRMWARE, ("RuntimeServicesData",))
    assert by_start[FIRMWARE.phys_end + 1] == (65 * MIB - 1, Kind.NO_RAM, ("Reserved",))


def test_a_region_that_is_no_region_does_not_stretch_over_all_memory() -> None:
    endless = RuntimeRegion(2, 6, 0, 0, 1 << 60, RUNTIME)
    assert stretches([FIRMWARE, endless], RANGES) == stretches([FIRMWARE], RANGES)


def test_what_efi_debug_lists_beside_the_firmware_stays_memory() -> None:
    conventional = RuntimeRegion(2, 7, 16 * MIB, 0, 256, 0xF)
    assert stretches([FIRMWARE, conventional], RANGES) == stretches([FIRMWARE], RANGES)


@pytest.mark.parametrize(
    ("details", "place"),
    [
        ({"phys_addr": 0x5000, "num_pages": 2}, (0x5000, 0x6FFF)),
        ({"phys_addr": 0x5000, "num_pages": 0}, (0x5000, 0x5000)),
        ({"phys_addr": 0x5000, "num_pages": (1 << 64) - 1}, (0x5000, (1 << 64) - 1)),
        (
            {"phys_addr": 0x5000, "num_pages": 9, "part_start": 0x7000, "part_end": 0x7FFF},
            (0x7000, 0x7FFF),
        ),
        ({"range": 3, "range_start": 0x9000, "range_end": 0x1000}, (0x9000, 0x9000)),
        ({"address": 0x123}, (0x123, 0x123)),
        ({"count": 3}, None),
    ],
)
def test_a_finding_is_where_its_numbers_say(
    details: dict[str, int], place: tuple[int, int] | None
) -> None:
    assert where(finding(**details)) == (None if place is None else Interval(*place))


def test_a_problem_stands_with_the_stretch_that_it_is_in() -> None:
    problem = finding(phys_addr=TABLES.phys_addr, num_pages=1)

    shown = rows(drawn([FIRMWARE, TABLES], RANGES, [problem], unicode=False))

    marked = [row for row in shown if "some code" in row]
    assert len(marked) == 1
    assert marked[0].startswith(f"{TABLES.phys_addr:#012x} xxxxxxxx 4 0K EFI boot services")
    assert marked[0].endswith("! error: Something is wrong [some code]")


def test_a_problem_beyond_all_memory_is_told_below() -> None:
    text = drawn([FIRMWARE], RANGES, [finding(address=1 << 50)], unicode=False)
    assert text.split("\n")[-1] == "Beyond all memory: error: Something is wrong. [some-code]"


def test_notes_are_no_problems() -> None:
    note = Finding(Severity.INFO, "some-note", "All right.", "", {"address": 0x1000})
    assert "some-note" not in drawn([FIRMWARE], RANGES, [note], unicode=False)


@pytest.mark.parametrize("name", [m for m in MACHINES if "runtime_map_efi_debug" in machine(m)])
@pytest.mark.parametrize("unicode", [False, True])
def test_a_long_map_fits_a_terminal(name: str, unicode: bool, tmp_path: Path) -> None:
    source = Offline(materialise_machine(name, tmp_path, efi_debug=True))

    lines = drawn(
        source.runtime_map(), source.memory_map(), source.findings(), unicode=unicode
    ).split("\n")

    assert max(map(len, lines)) <= WIDTH
    assert len(lines) <= 60
    assert all(line.isascii() for line in lines) is not unicode


def test_map_draws_below_its_table(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    set_region(tree, 1, num_pages=0)

    assert main(["--root", str(tree), "map"]) == 0

    table, drawing = capsys.readouterr().out.split("Memory, 6.0G of System RAM:\n")
    assert table.startswith("START")
    assert "region-empty" in drawing
