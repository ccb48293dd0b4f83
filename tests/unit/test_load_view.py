# SPDX-License-Identifier: LGPL-2.1-or-later
"""What `kexecprepctl load` shows: nothing is left out, and everything fits a terminal."""

from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from kexecprepd.core.finding import State
from kexecprepd.core.placement import ExcludedRange
from kexecprepd.core.snapshot import MemoryRange
from kexecprepd.ctl.load_picture import stretches
from kexecprepd.ctl.load_source import of_tree
from kexecprepd.ctl.load_view import Report, as_json, as_table, as_text, print_report
from kexecprepd.ctl.picture import WIDTH, Kind, Stretch, condensed, draw
from kexecprepd.ctl.ways import ByKernel, Placed
from kexecprepd.loader.errors import LoadError
from kexecprepd.loader.memory import usable
from kexecprepd.loader.plan import Plan, Segment, draft, finish
from tests.support.kernels import MIB, bzimage, memory_map, resources
from tests.support.recordings import BGRT, MACHINES, machine, materialise, remove
from tests.support.wanted import wanted

RAM_END = 0x7FFF_FFFF
MEMORY = memory_map(
    (0, 0x9_FFFF, "System RAM"),
    (0xF_0000, 0xF_FFFF, "Reserved"),
    (MIB, RAM_END, "System RAM"),
    (0x8000_0000, 0x8FFF_FFFF, "Reserved"),
    (0xFEC0_0000, 0xFEC0_0FFF, "Reserved"),
)
CRASH = (0x6000_0000, 0x6FFF_FFFF, "Crash kernel", 1)
ESRT = ExcludedRange(0x5000_0000, 0x5000_0FFF, "EFI runtime: BootServicesData")
KERNEL = Segment("kernel", 16 * MIB, 32 * MIB, b"x" * 4096)


def picture(
    *segments: Segment,
    ranges: tuple[MemoryRange, ...] = MEMORY,
    excluded: Iterable[ExcludedRange] = (ESRT,),
) -> list[Stretch]:
    shown = resources(*((r.start, r.end, r.type) for r in ranges), CRASH)
    return stretches(ranges, usable(ranges, shown, excluded), segments)


def test_every_address_is_in_one_stretch() -> None:
    found = picture(KERNEL, excluded=[ESRT, replace(ESRT, end=ESRT.end + 0x1000, why="another")])

    assert found[0].start == 0
    assert found[-1].end == 0xFEC0_0FFF
    for before, after in pairwise(found):
        assert after.start == before.end + 1


def test_what_is_placed_and_what_is_avoided_is_shown_where_it_is() -> None:
    by_start = {each.start: each for each in picture(KERNEL)}

    assert by_start[16 * MIB] == Stretch(16 * MIB, 48 * MIB - 1, Kind.PLACED, ("kernel",))
    assert by_start[ESRT.start].kind is Kind.AVOIDED
    assert by_start[ESRT.start].what == (ESRT.why,)
    assert by_start[0x6000_0000].kind is Kind.AVOIDED
    assert "Crash kernel" in by_start[0x6000_0000].what[0]
    assert by_start[0x8000_0000].kind is Kind.NO_RAM
    assert by_start[0x8000_0000].what == ("Reserved",)
    assert by_start[0x9000_0000].what == ("not listed",)


def test_the_first_mebibyte_is_one_row() -> None:
    shown = condensed(picture(KERNEL))

    assert (shown[0].start, shown[0].end, shown[0].kind) == (0, MIB - 1, Kind.AVOIDED)


def test_many_stretches_become_few_rows_that_lose_nothing() -> None:
    excluded = [
        ExcludedRange(start, start + 0xFFF, f"EFI runtime: kind {start >> 12 & 1}")
        for start in range(0x4000_0000, 0x4000_0000 + 300 * 0x3000, 0x3000)
    ]
    whole = picture(KERNEL, excluded=excluded)

    shown = condensed(whole, rows=20)

    assert len(whole) > 600
    assert len(shown) <= 20 + 1
    assert sum(each.free for each in shown) == sum(each.free for each in whole)
    assert [each for each in shown if each.kind is Kind.PLACED] == [
        each for each in whole if each.kind is Kind.PLACED
    ]
    drawn = draw(shown, unicode=True)
    assert "EFI runtime: kind 0 (150), EFI runtime: kind 1 (150)" in " ".join(
        drawn.replace("│", " ").replace("░", " ").split()
    )
    assert "free: " in drawn


@pytest.mark.parametrize("name", [m for m in MACHINES if "memmap" in machine(m)])
@pytest.mark.parametrize("unicode", [False, True])
def test_every_machine_fits_a_terminal(name: str, unicode: bool) -> None:
    ranges = memory_map(
        *((int(r["start"], 16), int(r["end"], 16), r["type"]) for r in machine(name)["memmap"])
    )
    placed = Segment("kernel", 0x100_0000, 0x20_0000, b"")

    lines = draw(condensed(picture(placed, ranges=ranges, excluded=())), unicode=unicode).split(
        "\n"
    )

    assert max(map(len, lines)) <= WIDTH
    assert len(lines) <= 60
    assert all(line.isascii() for line in lines) is not unicode
    assert any(line.endswith("kernel") for line in lines)


@pytest.fixture
def report(tmp_path: Path) -> Report:
    """A dry run on a recorded machine."""
    return planned(materialise(BGRT, tmp_path))


def planned(root: Path, cmdline: str = "root=/dev/sda1", initrd: bytes = b"070701") -> Report:
    asked = wanted(root, bzimage(), initrd, append=cmdline)
    source = of_tree(root, efi=True)
    size = source.image.size if source.image else 0
    sketch = draft(asked.kernel, asked.initrd, cmdline, source.machine, size)
    plan = finish(sketch, source.image.handed if source.image else None, bytes(32))
    return Report(asked, Placed(source, plan), obstacle=None, loaded=False)


def plan_of(report: Report) -> Plan:
    assert report.plan is not None
    return report.plan


def test_the_table_has_every_segment_with_inclusive_ends(report: Report) -> None:
    rows = [row.split() for row in as_table(plan_of(report)).splitlines()[1:]]

    assert len(rows) == len(plan_of(report).segments)
    for row, segment in zip(rows, plan_of(report).segments, strict=True):
        assert " ".join(row[:-4]) == segment.name
        assert int(row[-4], 16) == segment.address
        assert int(row[-3], 16) == segment.address + segment.size - 1


def test_json_has_every_segment_and_what_is_avoided(report: Report) -> None:
    shown = as_json(report)

    assert [each["name"] for each in shown["segments"]] == [
        s.name for s in plan_of(report).segments
    ]
    assert all(each["end"] - each["start"] + 1 >= each["data-size"] for each in shown["segments"])
    assert len(shown["avoided"]) == len(plan_of(report).usable.avoided)
    assert (shown["efi"], shown["efi-losses"]) == (True, [])
    assert shown["region-count"] == 8
    assert shown["loaded"] is False


def test_efi_that_is_left_out_is_told_with_the_reason(tmp_path: Path) -> None:
    root = materialise(BGRT, tmp_path)
    remove(root, "sys/firmware/efi/runtime-map")

    shown = planned(root)

    assert as_json(shown)["efi"] is False
    assert "EFI: left out" in as_text(shown, unicode=False)
    assert any(note.startswith("EFI is left out. ") for note in shown.notes)


def test_efi_that_the_kernel_would_make_nothing_of_is_not_called_handed_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = planned(materialise(BGRT, tmp_path), "quiet efi=noruntime")

    print_report(replace(report, loaded=True), "off")

    shown = capsys.readouterr()
    assert "handed over" not in shown.out
    assert "EFI is lost" in shown.out
    assert "efi=noruntime" in shown.err
    assert as_json(report)["efi-losses"] == ["runtime-services-off"]


def test_whoever_has_loaded_a_kernel_is_told_that_a_plain_reboot_starts_it(
    report: Report, capsys: pytest.CaptureFixture[str]
) -> None:
    print_report(replace(report, loaded=True), "off")

    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("Loaded Linux 6.1.0-made-up by kexec_load(2); EFI is handed over")
    assert "`systemctl reboot`" in second


def test_what_the_user_should_know_is_noted(report: Report) -> None:
    assert not any("warnings" in note or "is empty" in note for note in report.notes)

    way = report.way
    assert isinstance(way, Placed)
    assert way.source.image is not None
    degraded = replace(way.source.image, state=State.DEGRADED)
    noted = replace(
        report,
        way=replace(way, source=replace(way.source, image=degraded)),
        wanted=replace(report.wanted, cmdline=""),
        obstacle=LoadError("It is locked down.", "Use another way."),
    ).notes

    assert any("There are warnings" in note for note in noted)
    assert any("command line is empty" in note for note in noted)
    assert "It is locked down. Use another way." in noted


@pytest.mark.parametrize("unicode", [False, True])
def test_a_command_line_cannot_command_the_terminal(report: Report, unicode: bool) -> None:
    wanted = replace(report.wanted, cmdline="a=\x1b[31m b=\udcff c=ä")
    evil = replace(report, wanted=wanted)

    shown = as_text(evil, unicode=unicode)

    assert "a=\\x1b[31m b=\\udcff c=" in shown
    shown.encode("utf-8" if unicode else "ascii")


def test_a_load_that_the_kernel_does_itself_is_told_without_places(report: Report) -> None:
    way = ByKernel("ab" * 32, "", five_level_paging=False, notes=("One note.",))
    by_kernel = replace(report, way=way)

    shown = as_json(by_kernel)
    text = as_text(by_kernel, unicode=False)

    assert (shown["syscall"], shown["efi"], shown["segments"]) == ("file", True, [])
    assert "by kexec_file_load(2)" in text
    assert "EFI: handed over by the kernel itself" in text
    assert "Note: One note." in text
