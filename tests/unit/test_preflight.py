# SPDX-License-Identifier: LGPL-2.1-or-later
"""Before the system call: each refusal that can be foreseen has its sentence and its hint."""

from pathlib import Path

import pytest

from kexecprepd.loader.errors import LoadError
from kexecprepd.loader.preflight import check, obstacle
from kexecprepd.reading.kernel import read_system
from tests.support.recordings import write

ALL = (1 << 41) - 1
WITHOUT_SYS_BOOT = ALL & ~(1 << 22)
SYSCTL = "proc/sys/kernel"


@pytest.fixture
def live(tree: Path) -> Path:
    """A tree that says what a live kernel says, and allows everything."""
    write(tree, "sys/kernel/kexec_loaded", "0\n")
    write(tree, "sys/kernel/security/lockdown", "[none] integrity confidentiality\n")
    write(tree, f"{SYSCTL}/kexec_load_disabled", "0\n")
    write(tree, f"{SYSCTL}/kexec_load_limit_reboot", "-1\n")
    return tree


def found(root: Path, machine: str = "x86_64", capabilities: int | None = ALL) -> LoadError:
    refusal = obstacle(read_system(root), machine, capabilities)
    assert refusal is not None
    assert refusal.hint
    return refusal


@pytest.mark.parametrize("capabilities", [ALL, 1 << 22, None])
def test_nothing_speaks_against_it_on_an_open_system(live: Path, capabilities: int | None) -> None:
    assert obstacle(read_system(live), "x86_64", capabilities) is None


@pytest.mark.parametrize(
    ("path", "content", "words", "hint"),
    [
        (f"{SYSCTL}/kexec_load_disabled", "1\n", "kexec_load_disabled is 1", "Only a reboot"),
        (f"{SYSCTL}/kexec_load_limit_reboot", "0\n", "no loads are left", "Only a reboot"),
        (
            "sys/kernel/security/lockdown",
            "none [integrity] confidentiality\n",
            "locked down (integrity)",
            "--syscall=load",
        ),
    ],
)
def test_what_the_kernel_would_refuse_is_said_with_what_to_do(
    live: Path, path: str, content: str, words: str, hint: str
) -> None:
    write(live, path, content)

    refusal = found(live)

    assert words in str(refusal)
    assert hint in refusal.hint
    assert not refusal.denied


def test_a_kernel_without_kexec_is_told(tree: Path) -> None:
    refusal = found(tree)

    assert "without kexec" in str(refusal)
    assert "CONFIG_KEXEC" in refusal.hint


def test_a_missing_capability_is_the_user_s_lack_of_rights(live: Path) -> None:
    refusal = found(live, capabilities=WITHOUT_SYS_BOOT)

    assert refusal.denied
    assert "CAP_SYS_BOOT" in str(refusal)


def test_rights_that_would_not_help_are_not_asked_for(live: Path) -> None:
    write(live, f"{SYSCTL}/kexec_load_disabled", "1\n")

    assert "kexec_load_disabled" in str(found(live, capabilities=0))


def test_another_architecture_is_named(live: Path) -> None:
    assert "this is aarch64" in str(found(live, machine="aarch64"))


def test_of_a_recording_only_what_it_says_counts(tree: Path) -> None:
    assert check(tree) is None

    write(tree, f"{SYSCTL}/kexec_load_disabled", "1\n")
    assert "kexec_load_disabled is 1" in str(check(tree))
