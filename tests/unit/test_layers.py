# SPDX-License-Identifier: LGPL-2.1-or-later
"""The floors of the package: no module imports what its floor does not stand on."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
PACKAGE = CHECKOUT / "kexecprepd"

ALLOWED: dict[str, set[str]] = {
    "": {"daemon"},
    "abi": set(),
    "core": {"abi"},
    "reading": {"core", "abi"},
    "wire": {"core", "abi", "gi", "pydbus"},
    "daemon": {"wire", "reading", "core", "abi", "gi", "pyudev", "sdnotify"},
    "loader": {"reading", "core", "abi"},
    "ctl": {"loader", "wire", "reading", "core", "abi", "gi"},
}
"""What each floor may import beside itself, the package's version and the standard library."""

THIRD_PARTY = {"gi", "pydbus", "pyudev", "sdnotify"}

OUTSIDE = {
    "man": {"core"},
    "benchmarks": {"abi", "core", "reading", "gi"},
    "packaging": {"core", "reading"},
}
"""What the scripts around the package may import of it."""

LIBRARIES = {
    "packaging": {"tests.lab", "tests.support"},
    "benchmarks": {"tests.support"},
    "tests/lab": {"tests.lab"},
    "tests/support": {"tests.support"},
    "tests/unit": {"tests.support"},
    "tests/integration": {"tests.integration", "tests.support"},
    "tests/package": {"tests.support"},
    "tests/vm": {"tests.vm", "tests.lab", "tests.support"},
    "tests/soak": {"tests.soak", "tests.vm", "tests.lab", "tests.support"},
}
"""What each folder may use of the tests."""


def imported(path: Path) -> Iterator[str]:
    """Every module that a file imports, by its whole name."""
    package = path.relative_to(CHECKOUT).parent.parts
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join((*above, *([node.module] if node.module else [])))
            # `from .. import x`: x may be a module, and is its floor then.
            yield from (f"{module}.{alias.name}" for alias in node.names)


def breaches(path: Path, floor: str, allowed: set[str]) -> Iterator[str]:
    """What a file imports that is not allowed to it."""
    floors = set(ALLOWED)
    for name in imported(path):
        top, *rest = name.split(".")
        wanted = rest[0] if top == "kexecprepd" and rest and rest[0] in floors else ""
        if top in THIRD_PARTY:
            wanted = top
        if wanted and wanted != floor and wanted not in allowed:
            base = PACKAGE if PACKAGE in path.parents else CHECKOUT
            yield f"{path.relative_to(base)} imports {wanted}"


def test_every_floor_is_known() -> None:
    folders = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert folders == set(ALLOWED) - {""}


def test_no_module_imports_from_above() -> None:
    found = {
        breach
        for path in PACKAGE.rglob("*.py")
        for floor in [path.relative_to(PACKAGE).parts[0] if path.parent != PACKAGE else ""]
        for breach in breaches(path, floor, ALLOWED[floor])
    }
    assert found == set()


@pytest.mark.parametrize("folder", OUTSIDE)
def test_scripts_keep_to_what_is_theirs(folder: str) -> None:
    files = [
        path
        for path in (CHECKOUT / folder).rglob("*")
        if path.suffix == ".py" or path.name == "generate"
    ]
    assert [b for path in files for b in breaches(path, "", OUTSIDE[folder])] == []


def imports_of(folder: str) -> set[str]:
    """Every module that any file of a folder imports, by its whole name."""
    return {name for path in (CHECKOUT / folder).rglob("*.py") for name in imported(path)}


@pytest.mark.parametrize("folder", LIBRARIES)
def test_no_test_is_a_library(folder: str) -> None:
    names = [name.split(".") for name in imports_of(folder)]
    assert {".".join(parts[:2]) for parts in names if parts[0] == "tests"} <= LIBRARIES[folder]
    modules = {part for parts in names for part in parts}
    assert [each for each in modules if each == "conftest" or each.startswith("test_")] == []


def test_the_lab_takes_the_standard_library_alone() -> None:
    tops = {name.partition(".")[0] for name in imports_of("tests/lab")}
    assert tops - sys.stdlib_module_names == {"tests"}


def test_only_one_module_knows_pydbus() -> None:
    knowing = [path for path in PACKAGE.rglob("*.py") if any("pydbus" in n for n in imported(path))]
    assert [path.relative_to(PACKAGE).as_posix() for path in knowing] == ["wire/bus.py"]


def test_a_module_can_be_read_in_one_sitting() -> None:
    long = {
        path.relative_to(CHECKOUT).as_posix(): lines
        for folder in ("kexecprepd", "packaging", "tests")
        for path in (CHECKOUT / folder).rglob("*.py")
        if (lines := len(path.read_text("utf-8").splitlines())) > 400
    }
    assert long == {}
