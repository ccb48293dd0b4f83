# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the running system allows of kexec, told from trees that say it."""

from dataclasses import replace
from pathlib import Path

import pytest

from kexecprepd.reading.kernel import (
    Obstacle,
    System,
    file_load_obstacle,
    load_obstacle,
    read_system,
    signed_only,
    system_of,
)
from tests.support.recordings import BOOT_PARAMS, KEXEC_SYSCALL, materialise, patch, write

SYSCTL = "proc/sys/kernel"
LOCKDOWN = "sys/kernel/security/lockdown"


@pytest.fixture
def live(tree: Path) -> Path:
    """A tree that says what a live kernel says, and allows everything."""
    write(tree, "sys/kernel/kexec_loaded", "0\n")
    write(tree, "sys/kernel/kexec_crash_loaded", "0\n")
    write(tree, "sys/kernel/security/lockdown", "[none] integrity confidentiality\n")
    write(tree, f"{SYSCTL}/kexec_load_disabled", "0\n")
    write(tree, f"{SYSCTL}/kexec_load_limit_reboot", "-1\n")
    write(tree, f"{SYSCTL}/kexec_load_limit_panic", "-1\n")
    write(tree, "proc/cpuinfo", "flags\t\t: fpu vme la57_not\n")
    return tree


def test_an_open_system_allows_everything(live: Path) -> None:
    system = read_system(live)

    assert load_obstacle(system) is None
    assert not signed_only(system)
    assert (system.kernel_loaded, system.crash_kernel_loaded) == (False, False)
    assert (system.load_limit_reboot, system.load_limit_panic) == (-1, -1)
    assert (system.started_by_kexec, system.handed_efi) == (False, False)
    assert (system.secure_boot, system.acpi_rsdp) == ("disabled", "ACPI20")
    assert system.lockdown == "none"


@pytest.mark.parametrize(
    ("path", "content", "code", "words"),
    [
        (f"{SYSCTL}/kexec_load_disabled", "1\n", "load-disabled", "kexec_load_disabled is 1"),
        (f"{SYSCTL}/kexec_load_limit_reboot", "0\n", "no-loads-left", "limit_reboot is 0"),
    ],
)
def test_what_refuses_both_system_calls_is_named(
    live: Path, path: str, content: str, code: str, words: str
) -> None:
    write(live, path, content)
    write(live, LOCKDOWN, "none [integrity] confidentiality\n")

    obstacle = load_obstacle(read_system(live))

    assert obstacle is not None
    assert obstacle.code == code
    assert words in obstacle.words
    assert file_load_obstacle(read_system(live)) == obstacle


@pytest.mark.parametrize("level", ["integrity", "confidentiality"])
def test_a_locked_down_kernel_takes_signed_kernels_only(live: Path, level: str) -> None:
    modes = ("none", "integrity", "confidentiality")
    write(live, LOCKDOWN, " ".join(f"[{m}]" if m == level else m for m in modes) + "\n")

    system = read_system(live)

    assert load_obstacle(system) == Obstacle("locked-down", f"the kernel is locked down ({level})")
    assert file_load_obstacle(system) is None
    assert signed_only(system)


def test_a_kernel_without_kexec_is_told_from_a_recording_that_does_not_say(tree: Path) -> None:
    with_proc = read_system(tree)
    assert with_proc.has_kexec is False
    assert load_obstacle(with_proc) == Obstacle("no-kexec", "this kernel was built without kexec")

    assert load_obstacle(replace(with_proc, has_kexec=None)) is None
    assert load_obstacle(system_of(tree)) is None


@pytest.mark.parametrize("name", ["kexec_loaded", "kexec/loaded"])
def test_a_loaded_kernel_is_seen_where_old_and_new_kernels_show_it(tree: Path, name: str) -> None:
    write(tree, f"sys/kernel/{name}", "1\n")

    system = read_system(tree)

    assert (system.has_kexec, system.kernel_loaded) == (True, True)


def test_a_kernel_started_by_kexec_is_known_by_its_loader(tmp_path: Path) -> None:
    system = read_system(materialise(KEXEC_SYSCALL, tmp_path))

    assert (system.started_by_kexec, system.handed_efi) == (True, True)
    assert system.handed_regions == 6
    assert system.acpi_rsdp == "boot_params"


@pytest.mark.parametrize(
    ("value", "word"), [(0, "unset"), (1, "unknown"), (2, "disabled"), (3, "enabled")]
)
def test_secure_boot_is_told_as_the_boot_loader_did(tree: Path, value: int, word: str) -> None:
    patch(tree, BOOT_PARAMS, 0x1EC, bytes([value]))

    assert read_system(tree).secure_boot == word


@pytest.mark.parametrize(("flags", "active"), [("fpu la57 smep", True), ("fpu smep", False)])
def test_5_level_paging_is_told_by_the_processor_s_flag(
    live: Path, flags: str, active: bool
) -> None:
    write(live, "proc/cpuinfo", f"processor\t: 0\nflags\t\t: {flags}\n")

    assert read_system(live).five_level_paging is active


def test_an_empty_tree_tells_nothing(tmp_path: Path) -> None:
    (tmp_path / "sys").mkdir()

    system = read_system(tmp_path)

    assert load_obstacle(system) is None
    unknown = {name for name in System.__slots__ if getattr(system, name) is None}
    assert unknown == set(System.__slots__) - {"handed_efi"}
