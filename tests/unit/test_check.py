# SPDX-License-Identifier: LGPL-2.1-or-later
"""`kexecprepctl check` on trees: its answer takes in the map and what the system allows."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kexecprepd.ctl.__main__ import main
from kexecprepd.ctl.exits import Exit
from tests.support.kernels import bzimage
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


@pytest.fixture
def kernel(tmp_path: Path) -> str:
    """A bzImage that takes EFI over."""
    path = tmp_path / "vmlinuz"
    path.write_bytes(bzimage())
    return str(path)


def test_a_kernel_that_is_named_is_looked_at(check: Check, kernel: str) -> None:
    code, text = check("--kernel", kernel, "--append", "quiet")

    assert code == Exit.OK
    assert "It takes EFI over." in text
    shown = as_json(check, "--kernel", kernel, "--append", "quiet")["kernel"]
    assert (shown["takes-efi"], shown["losses"], shown["command-line"]) == (True, [], "quiet")


def test_a_kernel_that_would_have_no_efi_makes_the_answer_no(check: Check, kernel: str) -> None:
    options = ("--kernel", kernel, "--append", "efi=noruntime")

    code, text = check(*options)

    assert code == Exit.LOST
    assert text.startswith("ready: No: ")
    assert "[runtime-services-off]" in text
    shown = as_json(check, *options)["kernel"]
    assert [loss["code"] for loss in shown["losses"]] == ["runtime-services-off"]


def test_the_running_kernel_s_command_line_can_be_looked_at(
    check: Check, tree: Path, kernel: str
) -> None:
    write(tree, "proc/cmdline", "BOOT_IMAGE=/vmlinuz noefi\n")

    assert check("--kernel", kernel, "--reuse-cmdline")[0] == Exit.LOST
    assert check("--kernel", kernel)[0] == Exit.OK


def test_5_level_paging_of_the_running_kernel_counts(
    check: Check, tree: Path, tmp_path: Path
) -> None:
    write(tree, "proc/cpuinfo", "flags : fpu la57\n")
    four_level = tmp_path / "four"
    four_level.write_bytes(bzimage(xloadflags=0x1F))

    assert "[no-5-level]" in check("--kernel", str(four_level))[1]


def test_what_the_system_refuses_is_told_before_what_the_kernel_would_do(
    check: Check, tree: Path, kernel: str
) -> None:
    write(tree, DISABLED, "1\n")

    assert check("--kernel", kernel, "--append", "noefi")[0] == Exit.REFUSED


def test_what_is_no_kernel_is_an_error_of_its_own(check: Check, tree: Path) -> None:
    assert check("--kernel", str(tree / "proc/version"))[0] == Exit.FAILED


@pytest.mark.parametrize("options", [("--append", ""), ("--reuse-cmdline",)], ids=" ".join)
def test_a_command_line_without_a_kernel_is_wrong_usage(
    check: Check, options: tuple[str, ...]
) -> None:
    assert check(*options)[0] == Exit.USAGE


@pytest.mark.parametrize(
    ("regions", "words"),
    [((1,), "\n2 findings:\n"), ((1, 2, 3), "\n7 findings of 3 kinds:\n")],
    ids=["one", "three"],
)
def test_what_is_told_once_is_counted_as_that(
    check: Check, tree: Path, regions: tuple[int, ...], words: str
) -> None:
    for number in regions:
        set_region(tree, number, num_pages=0)

    text = check()[1]

    assert words in text
    assert text.count("[region-empty]") == 1
