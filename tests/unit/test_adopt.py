# SPDX-License-Identifier: LGPL-2.1-or-later
"""kexecprepctl adopt: the drop-ins that it makes below a root, and takes away again."""

import json
import stat
from configparser import ConfigParser
from pathlib import Path
from typing import Any

import pytest

from kexecprepd.core.view import FOLDERS
from kexecprepd.ctl.__main__ import main
from tests.support import recordings
from tests.support.schemas import conform

UNITS = "etc/systemd/system"


class Values(dict[str, Any]):
    """A section of a unit file, in which a key may come more than once."""

    def __setitem__(self, key: str, value: Any) -> None:
        if isinstance(value, list) and key in self:
            self[key].extend(value)
        else:
            super().__setitem__(key, value)


@pytest.fixture
def adopt(tree: Path) -> Any:
    """Run `kexecprepctl adopt` on the tree; its exit code."""
    return lambda *arguments: main(["--root", str(tree), "adopt", *arguments])


def drop_in(tree: Path, unit: str) -> Path:
    return tree / UNITS / f"{unit}.d/kexecprepd.conf"


def section(path: Path, name: str) -> dict[str, list[str]]:
    parser = ConfigParser(dict_type=Values, strict=False, interpolation=None, delimiters="=")
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read(path)
    return {key: value.splitlines() for key, value in parser.items(name)}


def test_an_adopted_unit_runs_on_the_view_or_not_at_all(tree: Path, adopt: Any) -> None:
    assert adopt("kexec-load.service") == 0

    path = drop_in(tree, "kexec-load.service")
    assert section(path, "Service") == {
        "BindReadOnlyPaths": [
            f"/run/kexecprepd/view/{folder.name}:/{folder.shadows}" for folder in FOLDERS
        ]
    }
    assert section(path, "Unit") == {
        "Wants": ["kexecprepd.service"],
        "After": ["kexecprepd.service"],
    }
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o755


def test_what_is_adopted_is_listed(
    tree: Path, adopt: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert adopt() == 0
    assert capsys.readouterr().out == "No unit is adopted.\n"
    adopt("kexec-load", "a@.service")
    assert capsys.readouterr().out == "a@.service\nkexec-load.service\n"
    adopt("kexec-load")
    assert capsys.readouterr().out == "a@.service\nkexec-load.service\n"
    adopt("--json=short")
    shown = json.loads(capsys.readouterr().out)
    conform("adopt", shown)
    assert shown["adopted"] == ["a@.service", "kexec-load.service"]


def test_undone_nothing_of_it_is_left(
    tree: Path, adopt: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    adopt("a.service", "b.service", "c.service")
    other = tree / UNITS / "b.service.d/mine.conf"
    other.write_text("[Service]\n")

    assert adopt("--undo", "a.service", "b.service", "d.service") == 0
    assert capsys.readouterr().err == "note: d.service was not adopted.\n"

    assert sorted(each.name for each in (tree / UNITS).iterdir()) == ["b.service.d", "c.service.d"]
    assert list(other.parent.iterdir()) == [other]


def test_a_file_of_someone_else_s_is_left_alone(
    tree: Path, adopt: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    path = drop_in(tree, "mine.service")
    path.parent.mkdir(parents=True)
    path.write_text("[Service]\nNice=1\n")

    for arguments in (["mine.service"], ["--undo", "mine.service"]):
        assert adopt(*arguments) == 1
        assert "was not made by" in capsys.readouterr().err
    assert path.read_text() == "[Service]\nNice=1\n"
    adopt()
    assert capsys.readouterr().out == "No unit is adopted.\n"


@pytest.mark.parametrize("folder", [recordings.MEMMAP, recordings.RUNTIME_MAP])
def test_no_unit_is_adopted_where_the_kernel_has_no_such_folder(
    tree: Path, adopt: Any, capsys: pytest.CaptureFixture[str], folder: str
) -> None:
    recordings.remove(tree, folder)
    assert adopt("kexec-load.service") == 1
    assert f"no /{folder}" in capsys.readouterr().err
    assert not (tree / UNITS).exists()


def test_it_can_be_undone_where_the_kernel_has_none_any_more(tree: Path, adopt: Any) -> None:
    adopt("kexec-load.service")
    recordings.remove(tree, recordings.RUNTIME_MAP)
    assert adopt("--undo", "kexec-load.service") == 0
    assert not (tree / UNITS / "kexec-load.service.d").exists()


@pytest.mark.parametrize(
    "unit",
    [
        *("", "kdump.socket", "../../x.service", "a/b.service", "a b.service", "a\n.service"),
        *("@x.service", "a@b@c.service", "x" * 250 + ".service", "kexecprepd.service"),
        "kexecprepd",
    ],
)
def test_what_is_no_unit_that_loads_a_kernel_is_wrong_usage(
    tree: Path, adopt: Any, capsys: pytest.CaptureFixture[str], unit: str
) -> None:
    assert adopt("good.service", unit) == 2
    sentence, hint = capsys.readouterr().err.splitlines()
    assert sentence.startswith("kexecprepctl: ")
    assert hint.startswith("  ")
    assert not (tree / UNITS).exists()


def test_undo_takes_units(adopt: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert adopt("--undo") == 2
    assert "names of units" in capsys.readouterr().err


def test_what_is_in_the_way_is_named(
    tree: Path, adopt: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    (tree / "etc").write_text("")
    assert adopt("kexec-load.service") == 1
    assert "cannot be changed" in capsys.readouterr().err
