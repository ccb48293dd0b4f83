# SPDX-License-Identifier: LGPL-2.1-or-later
"""Wrong usage of kexecprepctl: what is misspelt is named, and nothing may be abbreviated."""

import pytest

from kexecprepd import __main__ as daemon
from kexecprepd.ctl.__main__ import main


def refusal(capsys: pytest.CaptureFixture[str], line: str) -> str:
    """The last line of what is said of a command line that is wrong."""
    with pytest.raises(SystemExit) as ended:
        main(line.split())
    assert ended.value.code == 2
    return capsys.readouterr().err.splitlines()[-1]


def usage(capsys: pytest.CaptureFixture[str], line: str) -> str:
    """The usage that is shown with it."""
    with pytest.raises(SystemExit):
        main(line.split())
    return capsys.readouterr().err.partition("error:")[0]


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        ("statsu", "status"),
        ("help finding", "findings"),
        ("check --jsno=short", "--json"),
        ("map --json=shrt", "short"),
        ("--ful map", "--full"),
        ("load --dryrun vmlinuz", "--dry-run"),
        ("load --syscall=flie vmlinuz", "file"),
    ],
)
def test_what_is_misspelt_is_named(
    line: str, meant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert f"Did you mean {meant}?" in refusal(capsys, line)


def test_what_is_like_nothing_has_the_choices_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert "It is one of status, check, map, " in refusal(capsys, "xyzzy")
    assert refusal(capsys, "map --xyzzy").endswith("There is no option --xyzzy.")


@pytest.mark.parametrize(
    "line",
    [
        "--js=short map",
        "map --js=short",
        "map --no-l",
        "load --append-to=x vmlinuz",
        "load --dry vmlinuz",
        "dump --forc -",
        "adopt --und x",
    ],
)
def test_no_option_may_be_abbreviated(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "There is no option --" in refusal(capsys, line)


def test_nor_may_one_of_the_daemon(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        daemon.main(["--ro", "/nowhere"])
    assert ended.value.code == 2
    assert "--ro" in capsys.readouterr().err


def test_an_option_in_the_wrong_place_has_the_right_one_told(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert refusal(capsys, "status --version").endswith("--version stands before the command.")
    told = refusal(capsys, "map --kernel x")
    assert told.endswith("map has no option --kernel: that is for check.")


def test_the_usage_that_is_shown_is_the_command_s(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--svg FILE" in usage(capsys, "map --svgg x")
    assert " A B" in usage(capsys, "diff a b c")


def test_a_word_too_many_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert refusal(capsys, "map more").endswith("There is one word too many: 'more'.")
