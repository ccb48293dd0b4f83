# SPDX-License-Identifier: LGPL-2.1-or-later
"""The shells' completions of kexecprepctl, against what kexecprepctl takes; bash's is run."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from kexecprepd.ctl import __main__ as ctl
from kexecprepd.ctl.options import JSON_MODES
from tests.support.packages import CHECKOUT

pytestmark = pytest.mark.package

COMPLETION = CHECKOUT / "packaging/completion/kexecprepctl"

# compopt works within a completion only.
ASK = """
compopt() {{ :; }}
source {completion}
COMP_WORDS=({words})
COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
_kexecprepctl
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


def complete(*words: str, folder: Path = CHECKOUT) -> list[str]:
    """What is offered for the last of the words that follow the command."""
    text = " ".join(map(shlex.quote, ["kexecprepctl", *words]))
    script = ASK.format(completion=shlex.quote(str(COMPLETION)), words=text)
    done = subprocess.run(
        ["bash", "-u", "-c", script], cwd=folder, capture_output=True, text=True, check=True
    )
    assert not done.stderr
    return sorted(done.stdout.split("\n")[:-1]) if done.stdout.strip() else []


def help_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What kexecprepctl prints for --help."""
    with pytest.raises(SystemExit):
        ctl.main([*arguments, "--help"])
    return capsys.readouterr().out


def test_every_command_is_offered(capsys: pytest.CaptureFixture[str]) -> None:
    shown = help_of(capsys)
    assert complete("") == sorted(re.findall(r"^    ([a-z]+) ", shown, re.MULTILINE))
    assert complete("--json", "=", "short", "f") == ["findings"]


@pytest.mark.parametrize(
    "command",
    [
        [],
        ["status"],
        ["check"],
        ["map"],
        ["dump"],
        ["watch"],
        ["load"],
        ["record"],
        ["run"],
        ["adopt"],
    ],
)
def test_every_option_is_offered(capsys: pytest.CaptureFixture[str], command: list[str]) -> None:
    options = set(re.findall(r"(?<![\w-])--[a-z-]+", help_of(capsys, *command)))
    assert {word.rstrip("=") for word in complete(*command, "-")} == options


@pytest.mark.parametrize("before", [["--json"], ["--json", "="], ["map", "--json", "="]])
def test_the_values_of_json_are_offered(before: list[str]) -> None:
    assert complete(*before, "") == sorted(JSON_MODES)
    assert complete(*before, "sh") == ["short"]


def test_they_are_offered_where_nothing_follows_the_equals_sign() -> None:
    assert complete("--json", "=") == sorted(JSON_MODES)


def test_files_are_offered_for_dump_once(tmp_path: Path) -> None:
    (tmp_path / "my image").touch()
    assert complete("dump", "my", folder=tmp_path) == ["my image"]
    assert complete("dump", "--force", "", folder=tmp_path) == ["my image"]
    assert complete("dump", "my image", "", folder=tmp_path) == []
    assert complete("status", "", folder=tmp_path) == []


def test_files_are_offered_for_the_kernel_and_its_initrds(tmp_path: Path) -> None:
    (tmp_path / "vmlinuz").touch()
    (tmp_path / "initrd").touch()
    assert complete("load", "vm", folder=tmp_path) == ["vmlinuz"]
    assert complete("load", "--initrd", "i", folder=tmp_path) == ["initrd"]
    assert complete("load", "--initrd", "=", "i", folder=tmp_path) == ["initrd"]
    assert complete("load", "--initrd", "initrd", "vm", folder=tmp_path) == ["vmlinuz"]
    assert complete("load", "vmlinuz", "", folder=tmp_path) == []


def test_a_command_line_is_none_of_the_words_of_load(tmp_path: Path) -> None:
    (tmp_path / "vmlinuz").touch()
    value = ["--append", "=", "root", "=", "UUID", "=", "1234"]
    assert complete("load", *value, folder=tmp_path) == []
    assert complete("load", "--append", "vm", folder=tmp_path) == []
    assert complete("load", *value, "vm", folder=tmp_path) == ["vmlinuz"]


def test_a_program_and_then_files_are_offered_for_run(tmp_path: Path) -> None:
    (tmp_path / "vmlinuz").touch()
    assert "printf" in complete("run", "print", folder=tmp_path)
    assert complete("run", "kexec", "vm", folder=tmp_path) == ["vmlinuz"]


def test_trees_and_recordings_are_offered_for_root(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "taken").touch()
    assert complete("check", "--root", "t", folder=tmp_path) == ["taken", "tree"]
    assert complete("--root", "=", "t", folder=tmp_path) == ["taken", "tree"]


def test_commands_are_offered_for_help() -> None:
    assert complete("help", "fi") == ["findings"]


def taken(capsys: pytest.CaptureFixture[str]) -> tuple[set[str], set[str]]:
    """All commands, and all long options of kexecprepctl and of its commands."""
    shown = help_of(capsys)
    commands = set(re.findall(r"^    ([a-z]+) ", shown, re.MULTILINE))
    shown += "".join(help_of(capsys, command) for command in sorted(commands))
    return commands, set(re.findall(r"(?<![\w-])--([a-z-]+)", shown))


def test_zsh_has_every_command_and_option_and_no_other(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = (COMPLETION.parent / "_kexecprepctl").read_text()
    commands = set(re.findall(r"""^ {8}['"]([a-z]+):""", text, re.MULTILINE))
    options = set(re.findall(r"""['",*)]--([a-z-]+)(?==?\[|\}|,)""", text))
    assert (commands, options) == taken(capsys)


def test_fish_has_every_command_and_option_and_no_other(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = (COMPLETION.parent / "kexecprepctl.fish").read_text()
    listed = re.findall(r"^set -l commands (.*)$", text, re.MULTILINE)[0].split()
    offered = re.findall(r"^complete -c kexecprepctl -n \$first -a ([a-z]+) ", text, re.MULTILINE)
    options = re.findall(r"^complete .*? -l ([a-z-]+)", text, re.MULTILINE)
    assert offered == listed
    assert (set(listed), set(options)) == taken(capsys)
