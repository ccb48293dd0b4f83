# SPDX-License-Identifier: LGPL-2.1-or-later
"""`kexecprepctl check` on trees: its answer takes in the map and what the system allows."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kexecprepd.ctl.__main__ import main
from kexecprepd.ctl.exits import Exit
from tests.support.recordings import EFI, remove, set_region, write

DISABLED = "proc/sys/kernel/kexec_load_disabled"
LOCKDOWN = "sys/kernel/security/lockdown"

Check = Callable[..., tuple[int, str]]


@pytest.fixture
def check(tree: Path, capsys: pytest.CaptureFixture[str]) -> Check:
    """Checks the tree with some options: how that ends, and what is printed."""

    def run(*options: str) -> tuple[int, str]:
        code = main(["check", "--root", str(tree), *options])
        return code, capsys.readouterr().out

    return run


def as_json(check: Check, *options: str) -> Any:
    return json.loads(check("--json=short", *options)[1])


def degrade(tree: Path) -> None:
    write(tree, f"{EFI}/systab", "SMBIOS=0x7f520000\n")


def test_a_healthy_tree_that_says_nothing_of_kexec_is_a_yes(check: Check) -> None:
    code, text = check()

    assert code == Exit.OK
    assert text.startswith("ready: Yes: ")
    system = as_json(check)["system"]
    assert (system["kexec-load-allowed"], system["kexec-file-load-allowed"]) == (None, None)


@pytest.mark.parametrize("damage", [lambda tree: None, degrade], ids=["ready", "degraded"])
def test_where_both_system_calls_are_refused_the_answer_is_no(
    check: Check, tree: Path, damage: Callable[[Path], None]
) -> None:
    damage(tree)
    write(tree, DISABLED, "1\n")

    code, text = check()

    assert code == Exit.REFUSED
    assert "No: EFI could be handed over, but kexec is refused here." in text.splitlines()[0]
    assert "kexec_file_load(2)     refused: kernel.kexec_load_disabled is 1" in text
    system = as_json(check)["system"]
    for call in ("kexec-load", "kexec-file-load"):
        assert system[f"{call}-allowed"] is False
        assert system[f"{call}-obstacle-code"] == "load-disabled"


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (lambda tree: set_region(tree, 1, num_pages=0), Exit.INVALID),
        (lambda tree: remove(tree, "sys/firmware/efi"), Exit.UNSUPPORTED),
    ],
    ids=["invalid", "unsupported"],
)
def test_what_is_wrong_with_the_map_is_told_before_what_the_system_refuses(
    check: Check, tree: Path, damage: Callable[[Path], None], expected: Exit
) -> None:
    damage(tree)
    write(tree, DISABLED, "1\n")

    code, text = check()

    assert code == expected
    assert "but kexec is refused" not in text


def test_a_locked_down_kernel_still_starts_signed_ones(check: Check, tree: Path) -> None:
    write(tree, LOCKDOWN, "none [integrity] confidentiality\n")
    write(tree, "sys/kernel/kexec_loaded", "0\n")

    code, text = check()

    assert code == Exit.OK
    assert "Yes: " in text.splitlines()[0]
    assert "signed" in text.splitlines()[0]
    system = as_json(check)["system"]
    assert system["kexec-load-obstacle-code"] == "locked-down"
    assert (system["kexec-file-load-allowed"], system["signed-only"]) == (True, True)
    assert system["kexec-file-load-obstacle"] is None


def test_findings_of_a_kind_are_printed_once_and_stay_single_in_json(
    check: Check, tree: Path
) -> None:
    for number in (1, 2, 4):
        set_region(tree, number, num_pages=0)

    text = check()[1]
    shown = as_json(check)

    assert text.count("[region-empty]") == 1
    assert "in regions 1, 2 and 4. [region-empty]" in text
    assert [line.split(",")[0].strip() for line in text.splitlines() if "region=" in line][:3] == [
        "region=1",
        "region=2",
        "region=4",
    ]
    assert [f["code"] for f in shown["findings"]].count("region-empty") == 3
    assert shown["error-count"] == sum(f["severity"] == "error" for f in shown["findings"])
