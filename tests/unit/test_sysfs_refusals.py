# SPDX-License-Identifier: LGPL-2.1-or-later
"""Reading sysfs: what the kernel would not have written is refused, and named."""

import os
import resource
from pathlib import Path

import pytest

from kexecprepd.core.unreadable import Unreadable
from kexecprepd.reading.sysfs import read_snapshot
from tests.support import recordings
from tests.support.nobody import unprivileged
from tests.support.recordings import BOOT_PARAMS, EFI, MEMMAP, RUNTIME_MAP, remove, write
from tests.support.secrecy import addresses_in


def refusal(root: Path) -> Unreadable:
    """What is read of a tree that cannot be: it names the path and never an address."""
    error = read_snapshot(root)
    assert isinstance(error, Unreadable)
    assert str(error) == f"{error.path}: {error.problem}"
    assert error.hint
    assert not addresses_in(f"{error} {error.hint}".replace(os.fspath(root), ""))
    return error


def test_a_gap_in_the_runtime_map_names_the_missing_entry(tree: Path) -> None:
    remove(tree, f"{RUNTIME_MAP}/3")

    error = refusal(tree)

    assert (error.code, error.path) == ("sysfs-missing", str(tree / RUNTIME_MAP / "3"))


def test_a_runtime_map_without_its_first_entry_is_refused(tree: Path) -> None:
    remove(tree, f"{RUNTIME_MAP}/0")

    assert refusal(tree).path == str(tree / RUNTIME_MAP / "0")


def test_a_tree_without_sys_is_named(tmp_path: Path) -> None:
    error = refusal(tmp_path)

    assert (error.code, error.path) == ("sysfs-missing", str(tmp_path / "sys"))


def test_a_pipe_in_place_of_a_file_is_told_and_not_waited_for(tree: Path) -> None:
    path = tree / EFI / "systab"
    path.unlink()
    os.mkfifo(path)

    error = refusal(tree)

    assert (error.code, error.path) == ("sysfs-unreadable", str(path))
    assert "regular file" in error.problem


@pytest.mark.parametrize("attribute", recordings.ATTRIBUTES)
@pytest.mark.parametrize(
    "content",
    [
        "",
        "\n",
        "0x",
        "0x\n",
        "0x1",
        "1\n",
        "0X1\n",
        "0xF\n",
        "0x01\n",
        "-0x1\n",
        " 0x1\n",
        "0x1 \n",
        "0x1\n\n",
        "0x1\n0x2\n",
        "0x1_0\n",
        "0xg\n",
        "0x1\0\n",
        "0x\u0661\n",
    ],
)
def test_a_number_that_the_kernel_would_not_print_is_malformed(
    tree: Path, attribute: str, content: str
) -> None:
    path = f"{RUNTIME_MAP}/1/{attribute}"
    write(tree, path, content)

    error = refusal(tree)

    assert (error.code, error.path) == ("sysfs-malformed", str(tree / path))


@pytest.mark.parametrize(
    ("path", "content"),
    [
        (f"{EFI}/fw_platform_size", "64"),
        (f"{EFI}/fw_platform_size", "16\n"),
        (f"{EFI}/fw_platform_size", "0x40\n"),
        (f"{EFI}/fw_vendor", "2136124952\n"),
        (f"{EFI}/runtime", "0x7f5ebb98"),
        (f"{EFI}/config_table", "(null)\n"),
        (f"{EFI}/config_table", "0x10000000000000000\n"),
        (f"{EFI}/systab", "ACPI20=0x7f77d014"),
        (f"{EFI}/systab", "ACPI20 = 0x7f77d014\n"),
        (f"{EFI}/systab", "ACPI20=7f77d014\n"),
        (f"{EFI}/systab", "acpi=0x7f77d014\n"),
        (f"{EFI}/systab", "=0x7f77d014\n"),
        (f"{EFI}/systab", "ACPI=0x7f77d000\n\nSMBIOS=0x7f520000\n"),
        (f"{EFI}/systab", "SMBIOS=0x7f520000\nSMBIOS=0x7f520000\n"),
        (f"{EFI}/systab", "SMBIOS=0x1000000007f520000\n"),
        (f"{EFI}/systab", "\xff\n"),
        (f"{RUNTIME_MAP}/5/type", "0x100000000\n"),
        (f"{RUNTIME_MAP}/5/phys_addr", "0x10000000000000000\n"),
        (f"{RUNTIME_MAP}/5/phys_addr", "0x7dd3b000\n" + "\n" * 4096),
        (f"{MEMMAP}/5/start", "9437184\n"),
        (f"{MEMMAP}/5/end", "0x7ea9ffff"),
        (f"{MEMMAP}/5/end", "0x1ffffffffffffffff\n"),
        (f"{MEMMAP}/5/type", "System RAM"),
        (f"{MEMMAP}/5/type", "\n"),
        (f"{MEMMAP}/5/type", "System\tRAM\n"),
        (f"{MEMMAP}/5/type", "System RAM\nReserved\n"),
        (f"{MEMMAP}/5/type", "R" * 65 + "\n"),
        (BOOT_PARAMS, "x" * 4095),
        (BOOT_PARAMS, "x" * 4097),
    ],
)
def test_other_content_that_is_not_the_kernels_is_malformed(
    tree: Path, path: str, content: str
) -> None:
    write(tree, path, content)

    error = refusal(tree)

    assert (error.code, error.path) == ("sysfs-malformed", str(tree / path))


@pytest.mark.parametrize(
    "path",
    [
        f"{RUNTIME_MAP}/old",
        f"{RUNTIME_MAP}/06",
        f"{RUNTIME_MAP}/-1",
        f"{MEMMAP}/x",
        f"{MEMMAP}/007",
    ],
)
def test_a_name_that_the_kernel_does_not_use_is_malformed(tree: Path, path: str) -> None:
    write(tree, path, "0x0\n")

    error = refusal(tree)

    assert (error.code, error.path) == ("sysfs-malformed", str(tree / path))


@pytest.mark.parametrize(
    "path",
    [
        f"{EFI}/fw_platform_size",
        f"{EFI}/fw_vendor",
        f"{EFI}/runtime",
        f"{EFI}/config_table",
        f"{EFI}/systab",
        *(f"{RUNTIME_MAP}/4/{name}" for name in recordings.ATTRIBUTES),
        *(f"{MEMMAP}/4/{name}" for name in ("start", "end", "type")),
        BOOT_PARAMS,
    ],
)
def test_a_missing_file_is_named(tree: Path, path: str) -> None:
    remove(tree, path)

    error = refusal(tree)

    assert (error.code, error.path) == ("sysfs-missing", str(tree / path))


@pytest.mark.parametrize(
    "path", [f"{EFI}/systab", f"{RUNTIME_MAP}/0/virt_addr", f"{MEMMAP}/0/end", BOOT_PARAMS]
)
def test_a_file_that_may_not_be_read_says_what_right_is_missing(
    tree: Path, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for each in (tree / "sys").rglob("*"):
        if each.is_file():
            name = str(each.relative_to(tree))
            write(tree, name, each.read_bytes(), 0 if name == path else 0o444)
    monkeypatch.chdir(tree)  # what lies above the tree is closed to others

    with unprivileged():
        error = refusal(Path())

    assert (error.code, error.path) == ("sysfs-unreadable", path)
    assert (error.denied, error.transient) == (True, False)
    assert "permission" in error.problem
    assert "CAP_DAC_READ_SEARCH" in error.hint


@pytest.mark.parametrize("spare", [0, 1])
def test_a_want_of_file_descriptors_is_of_the_moment(tree: Path, spare: int) -> None:
    lowest = os.open(tree, os.O_RDONLY)
    os.close(lowest)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + spare, hard))
    try:
        error = refusal(tree)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    assert (error.denied, error.transient, error.unstable) == (False, True, False)
    assert error.code == "sysfs-unreadable"
    assert "try again" in error.hint


@pytest.mark.parametrize("path", [f"{EFI}/systab", f"{RUNTIME_MAP}/0/type", "proc/cmdline"])
def test_a_file_that_cannot_be_read_at_all_is_named(tree: Path, path: str) -> None:
    remove(tree, path)
    (tree / path).mkdir()

    error = refusal(tree)

    assert (error.code, error.path) == ("sysfs-unreadable", str(tree / path))
    assert (error.denied, error.transient) == (False, False)
    assert "directory" in error.problem


@pytest.mark.parametrize("path", [RUNTIME_MAP, f"{RUNTIME_MAP}/0", MEMMAP, f"{MEMMAP}/0"])
def test_a_file_in_place_of_a_directory_is_named(tree: Path, path: str) -> None:
    remove(tree, path)
    write(tree, path, "")

    error = refusal(tree)

    assert (error.code, error.path) == ("sysfs-unreadable", str(tree / path))
