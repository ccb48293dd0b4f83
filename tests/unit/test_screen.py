# SPDX-License-Identifier: LGPL-2.1-or-later
"""kexecprepctl on a real terminal: lines that fit it, colours, and a pager."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.support.customised import at_audit_event, customised
from tests.support.kernels import bzimage
from tests.support.notify_socket import DEADLINE
from tests.support.recordings import EFI, set_region, write
from tests.support.screen import ctl, environment, in_a_pipe, on_terminal

MARK = "sed s/^/paged:/"
"""A pager that can be told from none."""


@pytest.fixture
def broken(tree: Path) -> Path:
    """A machine of which there is much to say."""
    set_region(tree, 1, num_pages=0)
    set_region(tree, 2, virt_addr=0x1234)
    write(tree, f"{EFI}/systab", "SMBIOS=0x7f520000\n")
    return tree


@pytest.mark.parametrize("columns", [80, 60])
@pytest.mark.parametrize("command", ["check", "findings"])
def test_lines_fit_the_terminal_and_lose_nothing(command: str, columns: int, broken: Path) -> None:
    shown = on_terminal(command, "--root", broken, columns=columns)
    whole = in_a_pipe(command, "--root", broken)

    assert max(map(len, whole.lines)) > columns
    assert max(map(len, shown.lines)) <= columns
    assert shown.words == whole.words
    assert shown.code == whole.code


def test_the_map_fits_80_columns_and_is_whole_where_it_is_asked_for(tree: Path) -> None:
    narrow, full, wide = (
        on_terminal("map", "--root", tree),
        on_terminal("map", "--root", tree, "--full"),
        on_terminal("map", "--root", tree, columns=200),
    )
    assert max(map(len, narrow.lines)) <= 80 < max(map(len, full.lines))
    assert full.lines == wide.lines == in_a_pipe("map", "--root", tree).lines
    assert len(narrow.lines) == len(full.lines)
    assert narrow.lines[0].split() == [
        "START",
        "END",
        "SIZE",
        "MEMORY",
        "MAP",
        "REGION",
        "EFI",
        "TYPE",
    ]


def test_an_error_and_its_hint_fit_the_terminal(tmp_path: Path) -> None:
    shown = on_terminal("load", tmp_path / "vmlinuz", "--root", tmp_path, columns=40)
    assert shown.code == 2
    assert max(map(len, shown.lines)) <= 40
    assert shown.lines[-1].startswith("  ")


def test_columns_of_the_environment_come_first(broken: Path) -> None:
    shown = on_terminal("findings", "--root", broken, COLUMNS="50")
    assert 40 < max(map(len, shown.lines)) <= 50


@pytest.mark.parametrize("command", [["findings"], ["map"], ["load", "--dry-run"]], ids=" ".join)
def test_colours_are_for_terminals_that_want_them(
    command: list[str], broken: Path, tmp_path: Path
) -> None:
    kernel = tmp_path / "vmlinuz"
    kernel.write_bytes(bzimage())
    files = (kernel, "--no-efi") if command[0] == "load" else ()
    line = (*command, *files, "--root", broken)

    assert "\033[" in on_terminal(*line).text
    assert "\033[" in on_terminal(*line, NO_COLOR="").text
    assert "\033[" not in on_terminal(*line, NO_COLOR="1").text
    assert "\033[" not in on_terminal(*line, TERM="dumb").text
    assert "\033[" not in in_a_pipe(*line).text


@pytest.mark.parametrize(
    ("variables", "paged"),
    [
        ({"SYSTEMD_PAGER": MARK, "PAGER": "false"}, True),
        ({"SYSTEMD_PAGER": "cat", "PAGER": MARK}, False),
        ({"SYSTEMD_PAGER": "", "PAGER": MARK}, False),
        ({"SYSTEMD_PAGER": MARK, "TERM": "dumb"}, False),
    ],
    ids=["named", "cat", "empty", "dumb"],
)
def test_a_pager_shows_it_unless_none_is_wanted(
    variables: dict[str, str], paged: bool, broken: Path
) -> None:
    shown = on_terminal("findings", "--root", broken, columns=80, rows=2, **variables)
    assert {line.startswith("paged:") for line in shown.lines} == {paged}


@pytest.mark.parametrize(("spare", "paged"), [(0, True), (1, False)])
def test_what_the_screen_holds_needs_no_pager(broken: Path, spare: int, paged: bool) -> None:
    # more, which is all that a small system has, would wait for a key.
    needed = len(on_terminal("findings", "--root", broken).lines)
    shown = on_terminal("findings", "--root", broken, rows=needed + spare, SYSTEMD_PAGER=MARK)
    assert {line.startswith("paged:") for line in shown.lines} == {paged}


def test_without_systemd_s_variable_the_common_one_counts(broken: Path) -> None:
    line = [
        "env", "-u", "SYSTEMD_PAGER", *ctl("findings", "--root", broken)
    ]  # fmt: skip
    done = subprocess.run(
        ["script", "-qec", " ".join(map(str, line)), "/dev/null"],
        env=environment(PAGER=MARK),
        capture_output=True,
        text=True,
        timeout=DEADLINE,
    )
    assert done.stdout.startswith("paged:")


def test_no_pager_where_it_is_told_so_or_nobody_looks(broken: Path) -> None:
    asked = on_terminal("findings", "--no-pager", "--root", broken, SYSTEMD_PAGER=MARK)
    piped = in_a_pipe("findings", "--root", broken, SYSTEMD_PAGER=MARK)
    assert "paged:" not in asked.text + piped.text
    assert asked.words == piped.words


def test_the_exit_code_is_the_command_s_and_not_the_pager_s(broken: Path) -> None:
    for pager in (MARK, "true", "false"):
        shown = on_terminal("check", "--root", broken, SYSTEMD_PAGER=pager)
        assert (shown.code, "Traceback" in shown.text) == (4, False)


def test_ctrl_c_as_the_pager_starts_is_for_the_pager(broken: Path, tmp_path: Path) -> None:
    press = f"arguments[0] == {MARK.split()[0]!r} and signal.raise_signal(signal.SIGINT)"
    path = customised(tmp_path / "customised", at_audit_event("subprocess.Popen", press))
    shown = on_terminal("findings", "--root", broken, SYSTEMD_PAGER=MARK, PYTHONPATH=path)
    assert shown.code == 0
    assert "paged:" in shown.text


def test_where_no_pager_is_found_it_is_printed(broken: Path) -> None:
    shown = on_terminal("check", "--root", broken, SYSTEMD_PAGER="/no/such", PATH="/nowhere")
    assert shown.code == 4
    assert shown.lines == on_terminal("check", "--root", broken).lines


def test_less_gets_systemd_s_options_or_those_that_are_named(tree: Path) -> None:
    pager = "sh -c 'echo LESS=$LESS SECURE=$LESSSECURE'"
    line = ("map", "--root", tree)
    first = on_terminal(*line, SYSTEMD_PAGER=pager, SYSTEMD_PAGERSECURE="0")
    second = on_terminal(*line, SYSTEMD_PAGER=pager, SYSTEMD_LESS="F", SYSTEMD_PAGERSECURE="1")
    assert first.lines == ["LESS=FRSXMK SECURE="]
    assert second.lines == ["LESS=F SECURE=1"]


def test_j_is_pretty_on_a_terminal_and_short_elsewhere(tree: Path) -> None:
    assert len(on_terminal("-j", "map", "--root", tree).lines) > 100
    assert len(in_a_pipe("map", "-j", "--root", tree).lines) == 1


def test_a_table_has_no_heading_without_a_legend(tree: Path) -> None:
    with_it, without = (in_a_pipe("map", "--root", tree, *more) for more in ((), ("--no-legend",)))
    assert with_it.lines[1:] == without.lines


def test_quiet_check_answers_by_its_exit_code_alone(broken: Path) -> None:
    assert on_terminal("check", "-q", "--root", broken) == on_terminal(
        "check", "--quiet", "--root", broken
    )
    shown = on_terminal("check", "-q", "--root", broken)
    assert (shown.text, shown.code) == ("", 4)


def test_help_is_a_command(tree: Path) -> None:
    shown = on_terminal("help", SYSTEMD_PAGER=MARK)
    assert shown.code == 0
    assert shown.lines[0].startswith("paged:usage: kexecprepctl ")
    assert re.match("usage: kexecprepctl load ", in_a_pipe("help", "load").text)
