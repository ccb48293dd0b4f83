# SPDX-License-Identifier: LGPL-2.1-or-later
"""What pyproject.toml says of the project is what its files say."""

import ast
import re
import sys
import tomllib
from pathlib import Path

from tests.support.daemon import CHECKOUT

OURS = {"kexecprepd", "tests", "packaging"}

NAMES = {"gi": "PyGObject", "xdist": "pytest-xdist"}
"""What is imported by another name than it is installed by."""

USED_BY_COMMAND = {"pytest-cov", "pytest-xdist"}


def imported(folder: Path) -> set[str]:
    """The distributions that a folder's modules import beside Python's own, wherever they do."""
    modules = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                modules |= {each.name for each in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                modules.add(node.module or "")
    tops = {name.partition(".")[0] for name in modules} - OURS - sys.stdlib_module_names
    return {NAMES.get(top, top) for top in tops}


def without_versions(requirements: list[str]) -> set[str]:
    return {re.split("[<>=!~ ]", each)[0] for each in requirements}


def test_the_tests_name_all_that_they_import() -> None:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    tests_own = without_versions(project["optional-dependencies"]["test"])
    needed = imported(CHECKOUT / "tests") | USED_BY_COMMAND

    assert needed - tests_own - without_versions(project["dependencies"]) == set()
    assert tests_own - needed - imported(CHECKOUT / "kexecprepd") == set()
