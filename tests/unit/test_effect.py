# SPDX-License-Identifier: LGPL-2.1-or-later
"""Where the view has no effect: said of the loader that is run, and of what a script may call."""

from pathlib import Path

import pytest

from kexecprepd.ctl.effect import notes
from tests.support.programs import Programs
from tests.support.recordings import write


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Programs:
    """The only ones there are."""
    made = Programs(tmp_path / "bin")
    monkeypatch.setenv("PATH", str(made.folder))
    return made


def said(tree: Path, *command: str) -> str:
    return "\n".join(notes(tree, command))


@pytest.mark.parametrize(
    ("version", "arguments", "words"),
    [
        ("2.0.25", ["-l", "vmlinuz"], ""),
        ("2.0.26", ["-l", "vmlinuz"], ""),
        ("2.0.27", ["-l", "vmlinuz"], "kexec-tools 2.0.27 loads by kexec_file_load(2) first"),
        ("2.0.29", ["-l", "vmlinuz"], "kexec-tools 2.0.29"),
        ("2.1", ["-l", "vmlinuz"], "kexec-tools 2.1"),
        ("2.0.29", ["-c", "-l", "vmlinuz"], ""),
        ("2.0.29", ["-lc", "vmlinuz"], ""),
        ("2.0.29", ["--kexec-syscall", "-l", "vmlinuz"], ""),
        ("2.0.25", ["-s", "-l", "vmlinuz"], "kexec -s"),
        ("2.0.25", ["--kexec-file-syscall", "-l", "vmlinuz"], "kexec -s"),
        ("of its own", ["-l", "vmlinuz"], ""),
    ],
)
def test_kexec_is_told_by_its_version_and_options(
    tree: Path, programs: Programs, version: str, arguments: list[str], words: str
) -> None:
    programs.add("kexec", f"kexec-tools {version}")
    shown = said(tree, "kexec", *arguments)
    assert words in shown if words else shown == ""


@pytest.mark.parametrize(("version", "named"), [(252, False), (260, False), (261, True)])
def test_systemctl_is_told_by_its_version(
    tree: Path, programs: Programs, version: int, named: bool
) -> None:
    programs.add("systemctl", f"systemd {version} ({version}.1-1)")
    programs.add("kexec", "kexec-tools 2.0.29")
    assert said(tree, "systemctl", "kexec") == (
        f"systemd {version} loads by kexec_file_load(2) first, which takes no notice of the view: "
        "load with `kexec -c -l` before it does."
        if named
        else ""
    )


def test_of_a_script_all_is_said_that_it_may_call(tree: Path, programs: Programs) -> None:
    programs.add("systemctl", "systemd 262")
    programs.add("kexec", "kexec-tools 2.0.29")
    for command in ([], ["/usr/local/sbin/my-loader", "-c"]):
        shown = said(tree, *command)
        assert "kexec-tools 2.0.29" in shown
        assert "systemd 262" in shown


def test_nothing_is_said_of_programs_that_are_not_there(tree: Path, programs: Programs) -> None:
    assert said(tree) == ""
    assert said(tree, "kexec", "-l") == ""


def test_nothing_is_said_of_a_program_that_cannot_be_run(tree: Path, programs: Programs) -> None:
    programs.add("kexec", "kexec-tools 2.0.29", interpreter="/no/such/interpreter")
    assert said(tree, "kexec", "-l") == ""


@pytest.mark.parametrize(
    ("cmdline", "named"), [("quiet add_efi_memmap", True), ("quiet xadd_efi_memmap=1", False)]
)
def test_a_kernel_that_has_kexec_read_another_map(
    tree: Path, programs: Programs, cmdline: str, named: bool
) -> None:
    write(tree, "proc/cmdline", f"{cmdline}\n")
    assert ("add_efi_memmap" in said(tree)) == named
