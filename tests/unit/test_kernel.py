# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the running system allows of kexec, told from trees that say it."""

from dataclasses import replace
from pathlib import Path

import pytest

from kexecprepd.reading.kernel import System, load_obstacle, read_system, signed_only
from tests.support.recordings import BOOT_PARAMS, KEXEC_SYSCALL, materialise, patch, write

SYSCTL = "proc/sys/kernel"


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
    ("path", "content", "words"),
    [
        (f"{SYSCTL}/kexec_load_disabled", "1\n", "kexec_load_disabled is 1"),
        (f"{SYSCTL}/kexec_load_limit_reboot", "0\n", "kexec_load_limit_reboot is 0"),
        ("sys/kernel/security/lockdown", "none [integrity] confidentiality\n", "integrity"),
        ("sys/kernel/security/lockdown", "none integrity [confidentiality]\n", "confidentiality"),
    ],
)
def test_each_obstacle_is_named(live: Path, path: str, content: str, words: str) -> None:
    write(live, path, content)

    assert words in (load_obstacle(read_system(live)) or "")


def test_a_locked_down_kernel_takes_signed_kernels_only(live: Path) -> None:
    write(live, "sys/kernel/security/lockdown", "none [integrity] confidentiality\n")

    assert signed_only(read_system(live))


def test_a_kernel_without_kexec_is_told_from_a_recording_that_does_not_say(tree: Path) -> None:
    with_proc = read_system(tree)
    assert with_proc.has_kexec is False
    assert "without kexec" in (load_obstacle(with_proc) or "")

    assert load_obstacle(replace(with_proc, has_kexec=None)) is None


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
