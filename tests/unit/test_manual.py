# SPDX-License-Identifier: LGPL-2.1-or-later
"""The manual against the programs: what they take and give has its entry, and nothing else."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kexecprepd import __main__ as daemon
from kexecprepd import __version__
from kexecprepd.core import unreadable
from kexecprepd.core.finding import State
from kexecprepd.core.rules import RULES
from kexecprepd.core.surroundings import CAUTIONS
from kexecprepd.core.unsupported import CONTAINED, REASONS
from kexecprepd.ctl import __main__ as ctl
from kexecprepd.ctl.exits import Exit
from kexecprepd.ctl.output import SCHEMA
from kexecprepd.reading import sysfs, tree
from kexecprepd.wire import errors
from kexecprepd.wire.loader_info import SIGNATURES
from tests.support.manual import MAN, examples, section, tags
from tests.support.schemas import VERBS, schema

FINDINGS = "kexecprepd-findings.7"
RULES_OF = "kexecprepd/core/rules"
PAGES = (
    "kexecprepctl.1",
    FINDINGS,
    "kexecprepd-image.5",
    "kexecprepd.service.8",
    "org.kexecprepd1.5",
)

_OPTION = re.compile(r"(?<![\w-])--?[a-z][a-z-]*")


def help_of(
    capsys: pytest.CaptureFixture[str], main: Callable[[list[str]], int], *arguments: str
) -> str:
    """What a program prints for --help."""
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "--help"])
    assert ended.value.code == 0
    return capsys.readouterr().out


def generate(top: Path) -> "subprocess.CompletedProcess[str]":
    """`man/generate --check` in a checkout."""
    command = [sys.executable, str(top / "man" / "generate"), "--check"]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what man/generate works on, to be damaged."""
    for folder in ("man", "dbus", "kexecprepd"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(MAN.parent / folder, tmp_path / folder, ignore=ignored)
    return tmp_path


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_the_generated_pages_are_current() -> None:
    done = generate(MAN.parent)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("path", "old", "new", "words"),
    [
        ("man/org.kexecprepd1.5", "GetSetupData", "GetData", "is not current"),
        ("man/org.kexecprepd1.5.in", ".SH IMAGE", ".SH IMAGES", "is not current"),
        ("man/org.kexecprepd1.5.in", "@MEMBERS@\n", "", "has not one line @MEMBERS@"),
        (
            "dbus/org.kexecprepd1.Manager.xml",
            '<property name="State" type="s" access="read">',
            '<property name="New" type="s" access="read">'
            '<annotation name="org.freedesktop.DBus.Property.EmitsChangedSignal" value="true"/>'
            '</property><property name="State" type="s" access="read">',
            "property New has no annotation org.gtk.GDBus.DocString",
        ),
        (
            "dbus/org.kexecprepd1.Manager.xml",
            '<signal name="MapChanged">',
            '<signal name="Gone"/><signal name="MapChanged">',
            "signal Gone has no annotation org.gtk.GDBus.DocString",
        ),
        (
            "dbus/org.kexecprepd1.Manager.xml",
            '<arg name="json" type="s" direction="out">',
            '<arg name="flags" type="t" direction="in"/><arg name="json" type="s" direction="out">',
            "method Describe, argument flags, has no annotation org.gtk.GDBus.DocString",
        ),
        ("dbus/org.kexecprepd1.Manager.xml", "</node>", "", "no element found"),
        (f"man/{FINDINGS}", "region\\-empty", "region\\-void", "is not current"),
        (f"man/{FINDINGS}.in", ".SH READING", ".SH READINGS", "is not current"),
        (f"man/{FINDINGS}.in", "@FINDINGS@\n", "", "has not one line @FINDINGS@"),
        (f"man/{FINDINGS}.in", "@SYSTEMS@\n", "", "has not one line @SYSTEMS@"),
        ("kexecprepd/core/unsupported.py", "Boot without efi=old_map.", "Don't.", "is not current"),
        (
            "kexecprepd/core/unsupported.py",
            '"""The firmware\'s memory descriptors',
            '""""""; """The firmware\'s memory descriptors',
            "reason descriptor-version has no docstring",
        ),
        (
            "kexecprepd/core/rules/regions.py",
            "has no pages. The",
            "is empty. The",
            "is not current",
        ),
        ("kexecprepd/core/rules/coverage.py", "Nothing to do.", "Relax.", "is not current"),
        (
            f"{RULES_OF}/memory.py",
            '"""The kernel shows no memory map, or',
            '""""""; """or',
            "rule memmap-missing has no docstring",
        ),
        (f"man/{FINDINGS}.in", "@CAUTIONS@\n", "", "has not one line @CAUTIONS@"),
        ("kexecprepd/core/surroundings.py", "is a TDX", "may be a TDX", "is not current"),
    ],
)
def test_generate_refuses_what_is_not_documented(
    checkout: Path, path: str, old: str, new: str, words: str
) -> None:
    replace(checkout / path, old, new)
    done = generate(checkout)
    assert done.returncode == 1
    assert words in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("page", PAGES)
def test_pages_carry_the_version(page: str) -> None:
    assert f'"kexecprepd {__version__}"' in (MAN / page).read_text()


def commands(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """kexecprepctl's commands, as its --help lists them."""
    found = re.findall(r"^    ([a-z]+)(?: |$)", help_of(capsys, ctl.main), re.MULTILINE)
    assert found
    return found


def test_every_command_of_kexecprepctl_and_no_other(capsys: pytest.CaptureFixture[str]) -> None:
    listed = [tag.split()[0] for tag in tags("kexecprepctl.1", "COMMANDS")]
    assert sorted(listed) == sorted(commands(capsys))


def test_every_option_of_kexecprepctl_and_no_other(capsys: pytest.CaptureFixture[str]) -> None:
    printed = help_of(capsys, ctl.main)
    for command in commands(capsys):
        printed += help_of(capsys, ctl.main, command)
    listed = _OPTION.findall("\n".join(tags("kexecprepctl.1", "OPTIONS")))
    assert sorted(listed) == sorted(set(_OPTION.findall(printed)))


def test_every_exit_code_of_kexecprepctl_and_no_other() -> None:
    assert [int(tag) for tag in tags("kexecprepctl.1", "EXIT STATUS")] == sorted(map(int, Exit))


def test_every_option_of_the_daemon_and_no_other(capsys: pytest.CaptureFixture[str]) -> None:
    listed = _OPTION.findall("\n".join(tags("kexecprepd.service.8", "OPTIONS")))
    assert sorted(listed) == sorted(set(_OPTION.findall(help_of(capsys, daemon.main))))


def test_every_state() -> None:
    assert tags("kexecprepd.service.8", "STATES") == [str(state) for state in State]


def test_every_error_and_no_other() -> None:
    names = {kind.name for kind in errors.BusError.__subclasses__()}
    assert set(tags("org.kexecprepd1.5", "ERRORS")) == names


def test_every_finding_of_the_validation_in_the_order_of_the_rules() -> None:
    rules = [f"{rule.code} ({rule.severity})" for rule in RULES]
    headings = (
        "RUNTIME REGIONS",
        "REGIONS AND MEMORY",
        "TABLES",
        "WHAT THIS KERNEL WAS HANDED",
        "MEMORY",
    )
    assert [tag for heading in headings for tag in tags(FINDINGS, heading)] == rules


def test_every_caution_and_no_other() -> None:
    listed = [f"{caution.code} ({caution.severity})" for caution in CAUTIONS]
    assert tags(FINDINGS, "WHAT ELSE A KEXEC NEEDS") == listed


def test_what_a_finding_means_and_what_to_do_are_in_the_page() -> None:
    text = " ".join(unescaped((MAN / FINDINGS).read_text()).split())
    entries = [(rule.meaning, rule.hint) for rule in RULES]
    entries += [(rule.meaning, rule.after_kexec) for rule in RULES if rule.after_kexec]
    entries += [(reason.meaning, reason.hint) for reason in REASONS]
    entries += [(caution.meaning, caution.hint) for caution in CAUTIONS]
    for meaning, hint in entries:
        assert " ".join(meaning.split()) in text
        assert hint in text


def unescaped(text: str) -> str:
    """The escapes of characters that man/generate makes, taken back."""
    for escape, character in (
        ("\\(->", "->"),
        ("\\-", "-"),
        ("\\(aq", "'"),
        ("\\(ga", "`"),
        ("\\(ti", "~"),
        ("\\(ha", "^"),
        ("\\e", "\\"),
    ):
        text = text.replace(escape, character)
    return text


def test_every_finding_of_the_reading_and_no_other() -> None:
    sources = "".join(source(each.__file__) for each in (sysfs, tree, unreadable))
    codes = set(re.findall(r'"(sysfs-[a-z]+)"', sources))
    assert len(codes) > 3
    assert sorted(tags(FINDINGS, "READING")) == sorted(f"{code} (error)" for code in codes)


def test_every_finding_of_systems_without_a_map_and_no_other() -> None:
    codes = [*(reason.code for reason in REASONS), CONTAINED.code]
    listed = tags(FINDINGS, "SYSTEMS WITHOUT A MAP")
    assert listed == [f"{code} (info)" for code in codes]


def test_the_interface_page_points_to_the_findings() -> None:
    assert "kexecprepd-findings (7)" in section("org.kexecprepd1.5", "FINDINGS")


def source(module: str | None) -> str:
    assert module is not None
    return Path(module).read_text()


def test_every_key_of_info_with_its_type() -> None:
    rows = re.findall(r"^([a-z0-9-]+)\t(\S+)\tT\{$", section("org.kexecprepd1.5", "INFO"), re.M)
    assert dict(rows) == SIGNATURES


@pytest.mark.parametrize("verb", VERBS)
def test_every_member_of_the_json(verb: str) -> None:
    words = set(re.findall(r"[a-z0-9]+(?:-[a-z0-9]+)*", section("kexecprepctl.1", "JSON")))
    receipts = set(re.findall(r"[a-z0-9-]+", section("kexecprepd-loaders.7", "RECEIPT")))
    names = {name for name in members(schema(verb)) if not name.endswith("-hex")}
    # It says that there is the same of both system calls.
    names = {name.replace("kexec-file-load-", "kexec-load-") for name in names}
    assert sorted(names - words - receipts) == []


def test_no_line_of_an_example_is_cut_by_a_terminal_or_a_page() -> None:
    pages = [path.name for path in MAN.glob("*.[1578]")]
    lines = [line for page in pages for each in examples(page) for line in each.splitlines()]
    assert len(lines) > 100
    assert [line for line in lines if len(line) > 80] == []


@pytest.mark.parametrize("verb", ["watch", "dump"])
def test_the_json_of_an_example_is_whole(verb: str) -> None:
    (shown,) = (each for each in examples("kexecprepctl.1") if f"{verb} --json" in each)
    told = json.loads(shown[shown.index("{") :])
    described = schema(verb)["properties"]
    assert (told["schema"], sorted(told)) == (SCHEMA, sorted(described))
    for name in ("timestamp", "generation"):
        assert name not in told or f"{told[name]:#x}" == told[f"{name}-hex"]


def members(part: Any) -> Iterator[str]:
    """The names of all members that a schema describes."""
    if isinstance(part, dict):
        for name, each in part.items():
            if name == "properties":
                yield from each
            yield from members(each)
    elif isinstance(part, list):
        for each in part:
            yield from members(each)
