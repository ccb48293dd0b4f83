# SPDX-License-Identifier: LGPL-2.1-or-later
"""kexecprepctl load, unload and exec as root runs them, up to what the kernel says to it."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.daemon import Daemon
from tests.support.kernels import VERSION, bzimage, uki
from tests.support.notify_socket import DEADLINE
from tests.support.private_bus import PrivateBus
from tests.support.recordings import add_range, remove, set_region, write
from tests.support.schemas import conform

from .client import Client
from .live import (
    CRASH,
    RESERVED,
    Done,
    as_json,
    iomem,
    make_live,
    memory_map,
    refusal,
    run_ctl,
    with_systemctl,
)
from .relay import on_the_way
from .unprivileged import SETPRIV, modules

pytestmark = pytest.mark.bus

Ctl = Callable[..., Done]


@pytest.fixture
def machine(tree: Path) -> Path:
    """The tree of a machine that allows everything."""
    return make_live(tree)


@pytest.fixture
def ctl(bus: PrivateBus, machine: Path) -> Ctl:
    """Run kexecprepctl to its end on that machine."""

    def run(*arguments: str | Path, **environment: str) -> Done:
        return run_ctl(machine, {**bus.environment, **environment}, *arguments)

    return run


@pytest.fixture
def initrd(top: Path) -> Path:
    path = top / "initrd"
    path.write_bytes(b"070701 as good as any")
    return path


def test_a_dry_run_places_everything_in_free_memory(
    daemon: Daemon, ctl: Ctl, client: Client, machine: Path, kernel: Path, initrd: Path
) -> None:
    shown = as_json(ctl("load", "--dry-run", kernel, "--initrd", initrd, "--json=short"))
    conform("load", shown)

    assert shown["efi"] is True
    assert shown["loaded"] is False
    assert shown["version"] == VERSION
    assert shown["sha256"] == client.get("Sha256")
    assert shown["region-count"] == client.get("RegionCount")
    sizes = {each["name"]: each["data-size"] for each in shown["segments"]}
    assert sizes["EFI image"] == len(client.call("GetSetupData")[0])
    assert sizes["initrd"] == initrd.stat().st_size
    ram = [(start, end) for start, end, kind in memory_map(machine) if kind == "System RAM"]
    excluded = [(start, end) for start, end, _ in client.call("GetExcludedRanges")]
    for each in shown["segments"]:
        start, end = each["start"], each["end"]
        assert any(first <= start and end <= last for first, last in ram), each
        for first, last in [*excluded, CRASH, RESERVED, (0, 0xF_FFFF)]:
            assert end < first or last < start, each


def test_a_dry_run_shows_it_all_in_words(daemon: Daemon, ctl: Ctl, kernel: Path) -> None:
    done = ctl("load", "--dry-run", kernel, "--append", "root=/dev/sda1")

    assert (done.returncode, done.stderr) == (0, "")
    assert "Linux 6.1.0-made-up would be loaded" in done.stdout
    assert "Command line: root=/dev/sda1\n" in done.stdout
    assert "EFI: handed over, with 6 runtime regions\n" in done.stdout
    for name in ("kernel", "initrd", "command line", "boot_params", "entry stub", "EFI image"):
        assert f"\n{name} " in done.stdout  # in the table
        assert f"  {name}\n" in done.stdout  # in the picture
    assert "avoided: EFI runtime: BootServicesData" in done.stdout
    assert "avoided: Crash kernel" in done.stdout
    assert "An empty initrd is handed over" in done.stdout
    assert done.stdout.endswith("Nothing was loaded.\n")
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_in_a_locale_without_more_it_is_all_ascii(daemon: Daemon, ctl: Ctl, kernel: Path) -> None:
    plain = ctl("load", "--dry-run", kernel, "--append", "name=ä", LC_ALL="C")
    full = ctl("load", "--dry-run", kernel, "--append", "name=ä", LC_ALL="C.UTF-8")

    assert plain.stdout.isascii()
    assert "#" * 8 in plain.stdout
    assert "█" * 8 in full.stdout
    assert "name=ä" in full.stdout


def test_a_load_gets_as_far_as_the_kernel_which_refuses_it(
    daemon: Daemon, ctl: Ctl, kernel: Path, initrd: Path
) -> None:
    said = refusal(ctl("load", kernel, "--initrd", initrd, "--reuse-cmdline"))

    assert "The kernel refused it: " in said
    assert "(EPERM)" in said or "ENOSYS of kexec_file_load" in said


def test_where_there_is_no_efi_it_is_left_out_with_the_daemon_s_reason(
    daemon: Daemon, ctl: Ctl, client: Client, machine: Path, kernel: Path
) -> None:
    remove(machine, "sys/firmware/efi")
    client.call("Refresh")

    shown = as_json(ctl("load", "--dry-run", kernel, "--json=short"))

    assert shown["efi"] is False
    assert f"EFI is left out. {client.get('Reason')}" in shown["notes"]
    assert "EFI image" not in [each["name"] for each in shown["segments"]]
    assert "The kernel refused it" in refusal(ctl("load", kernel))


def test_an_invalid_map_is_not_handed_over_and_the_hint_names_the_way_out(
    daemon: Daemon, ctl: Ctl, client: Client, machine: Path, kernel: Path
) -> None:
    set_region(machine, 1, num_pages=0)
    client.call("Refresh")

    said = refusal(ctl("load", "--dry-run", kernel), code=4)
    assert "has no pages" in said
    assert "--no-efi" in said

    assert as_json(ctl("load", "--dry-run", "--no-efi", kernel, "--json=short"))["efi"] is False


def test_without_a_daemon_only_a_load_without_efi_is_planned(ctl: Ctl, kernel: Path) -> None:
    said = refusal(ctl("load", "--dry-run", kernel), code=6)
    assert "cannot be reached" in said
    assert "--no-efi" in said

    done = ctl("load", "--dry-run", "--no-efi", kernel)
    assert done.returncode == 0
    assert "EFI is left out, as --no-efi has it." in done.stdout
    assert "avoided: EFI runtime: BootServicesData" in done.stdout


def test_one_call_brings_all_that_a_load_takes(
    daemon: Daemon, ctl: Ctl, bus: PrivateBus, client: Client, machine: Path, kernel: Path
) -> None:
    command = ("load", "--dry-run", "--json=short", kernel)
    taken = image_of(as_json(ctl(*command)))["start"]
    asked: list[int] = []

    def take_the_place() -> None:
        add_range(machine, taken, taken + 0xFFF, "Reserved")
        asked.append(client.call("Refresh"))

    with on_the_way(bus, kernel.parent / "relay", "GetHandover", take_the_place) as environment:
        shown = as_json(ctl(*command, **environment))

    assert asked == [2]
    assert image_of(shown)["start"] != taken


def image_of(shown: dict[str, Any]) -> dict[str, Any]:
    (image,) = [each for each in shown["segments"] if each["name"] == "EFI image"]
    return dict(image)


def test_without_iomem_nothing_is_loaded(ctl: Ctl, machine: Path, kernel: Path) -> None:
    remove(machine, "proc/iomem")

    assert "There is no /proc/iomem" in refusal(ctl("load", "--no-efi", kernel))


OBSTACLES: dict[str, tuple[str, str, int, str]] = {
    "disabled": ("proc/sys/kernel/kexec_load_disabled", "1\n", 1, "kexec_load_disabled is 1"),
    "limit": ("proc/sys/kernel/kexec_load_limit_reboot", "0\n", 1, "no loads are left"),
    "capability": ("proc/self/status", "CapEff:\t000001ffffbfffff\n", 7, "CAP_SYS_BOOT"),
}


@pytest.mark.parametrize("name", OBSTACLES)
def test_what_the_kernel_would_refuse_is_refused_before_and_noted_in_a_dry_run(
    daemon: Daemon, ctl: Ctl, machine: Path, kernel: Path, name: str
) -> None:
    path, content, code, words = OBSTACLES[name]
    write(machine, path, content)

    assert words in refusal(ctl("load", kernel), code)

    shown = as_json(ctl("load", "--dry-run", kernel, "--json=short"))
    assert words in shown["obstacle"]
    assert any(words in note for note in shown["notes"])


def test_a_user_is_told_to_be_root(daemon: Daemon, bus: PrivateBus, kernel: Path) -> None:
    done = subprocess.run(
        [*SETPRIV, sys.executable, "-m", "kexecprepd.ctl", "load", "--dry-run", str(kernel)],
        env={**bus.environment, "PYTHONPATH": str(modules())},
        cwd="/",
        capture_output=True,
        text=True,
        timeout=DEADLINE,
    )
    assert "Only root" in refusal(done, code=7)


@pytest.mark.parametrize(
    "arguments",
    [
        ["load", "one", "two"],
        ["load", "vmlinuz", "--entry=one"],
        ["load", "vmlinuz", "--ahead"],
        ["load", "vmlinuz", "--no-efi", "--syscall=file"],
        ["load", "vmlinuz", "--syscall=both"],
        ["load", "-l", "vmlinuz"],
        ["load", "-p", "vmlinuz"],
        ["load", "vmlinuz", "--type=elf-x86_64"],
        ["load", "vmlinuz", "--command-line=a"],
        ["load", "vmlinuz", "--initrd"],
        ["load", "vmlinuz", "--root=/tmp"],
        ["load", "vmlinuz", "--again"],
        ["load", "--again", "--append=a"],
        ["load", "--again", "--initrd=a"],
        ["load", "--again", "--dry-run"],
        ["load", "--again", "--no-efi"],
        ["load", "--again", "--entry=one"],
        ["load", "--again", "--syscall=load"],
        ["load", "--again", "--ahead"],
        ["load", "--again", "--root=/tmp"],
        ["unload", "vmlinuz"],
        ["unload", "--root=/tmp"],
        ["exec", "--root=/tmp"],
        ["exec", "--dry-run"],
    ],
    ids=" ".join,
)
def test_wrong_usage_ends_with_2(ctl: Ctl, arguments: list[str]) -> None:
    done = ctl(*arguments)

    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr


LIES: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "is empty"),
    "noise": (b"noise" * 1000, "is not a bzImage"),
    "truncated": (bzimage()[:0x240], "is truncated"),
    "magic": (bzimage(header=b"HdrX"), "is not a bzImage"),
    "init_size": (bzimage(init_size=0xFFFF_F000), "does not fit"),
    "alignment": (bzimage(kernel_alignment=0), "kernel_alignment"),
    "sections": (
        uki((".linux", bzimage()), (".initrd", b"x" * 512), headers={1: {"PointerToRawData": 512}}),
        "overlap",
    ),
    "no kernel": (uki((".linux", b"noise" * 1000)), "is not a bzImage"),
    "5-level paging": (bzimage(xloadflags=0x1F), "5-level paging"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_kernel_that_lies_is_refused_before_the_kernel_is_asked(
    ctl: Ctl, machine: Path, top: Path, lie: str
) -> None:
    write(machine, "proc/cpuinfo", "flags\t\t: fpu la57\n")
    content, words = LIES[lie]
    (top / "vmlinuz").write_bytes(content)

    said = refusal(ctl("load", "--no-efi", top / "vmlinuz"))

    assert words in said
    assert "The kernel refused" not in said


def test_an_initrd_larger_than_memory_is_refused(
    ctl: Ctl, machine: Path, kernel: Path, top: Path
) -> None:
    command = ("load", "--no-efi", kernel, "--initrd", top / "initrd")
    with (top / "initrd").open("wb") as file:
        file.truncate(1 << 43)
    assert "more than can be loaded" in refusal(ctl(*command))

    os.truncate(top / "initrd", 48 << 20)
    assert "The kernel refused it" in refusal(ctl(*command))
    write(machine, "proc/iomem", iomem(machine, (0x600_0000, 0x3DCF_FFFF)))  # leaves < 96 MiB
    assert "the largest is the initrd with 50331648" in refusal(ctl(*command))


def test_files_that_are_none_are_named(ctl: Ctl, kernel: Path, top: Path) -> None:
    assert f"{top / 'gone'} cannot be read" in refusal(ctl("load", top / "gone"))
    assert f"{top} is a directory" in refusal(ctl("load", kernel, "--initrd", top))
    os.mkfifo(top / "pipe")
    assert f"{top / 'pipe'} is a pipe" in refusal(ctl("load", top / "pipe"))


def test_a_kernel_that_cannot_take_efi_is_loaded_without_it(
    daemon: Daemon, ctl: Ctl, top: Path
) -> None:
    (top / "vmlinuz").write_bytes(bzimage(xloadflags=0x6F))

    shown = as_json(ctl("load", "--dry-run", top / "vmlinuz", "--json=pretty"))

    assert shown["efi"] is False
    assert (shown["region-count"], shown["sha256"]) == (0, "")
    assert any("XLF_EFI_KEXEC" in note for note in shown["notes"])


def test_a_unified_kernel_brings_its_initrd_and_its_command_line(
    daemon: Daemon, ctl: Ctl, top: Path, initrd: Path
) -> None:
    image = uki((".linux", bzimage()), (".initrd", b"12345"), (".cmdline", b"quiet splash"))
    (top / "linux.efi").write_bytes(image)
    command = ("load", "--dry-run", "--json=short", top / "linux.efi")

    shown = as_json(ctl(*command))
    assert shown["unified"] is True
    assert shown["command-line"] == "quiet splash"
    sizes = {each["name"]: each["data-size"] for each in shown["segments"]}
    assert sizes["initrd"] == 5

    shown = as_json(ctl(*command, "--initrd", initrd, "--append", "mine"))
    assert shown["command-line"] == "mine"
    sizes = {each["name"]: each["data-size"] for each in shown["segments"]}
    assert sizes["initrd"] >= 8 + initrd.stat().st_size


def test_the_command_line_is_reused_without_what_the_boot_loader_added(
    daemon: Daemon, ctl: Ctl, machine: Path, kernel: Path
) -> None:
    write(machine, "proc/cmdline", 'BOOT_IMAGE=/vmlinuz root=/dev/sda1 note="a b" \xe4\n')

    shown = as_json(ctl("load", "--dry-run", kernel, "--reuse-cmdline", "--json=short"))

    assert shown["command-line"] == 'root=/dev/sda1 note="a b" \xe4'


def test_a_tree_is_enough_for_a_dry_run(ctl: Ctl, tree: Path, kernel: Path) -> None:
    remove(tree, "proc/iomem")
    command = ("load", "--dry-run", "--json=short", "--root", tree, kernel)

    shown = as_json(ctl(*command))

    assert shown["efi"] is True
    assert any("the memory map alone decides" in note for note in shown["notes"])
    set_region(tree, 1, num_pages=0)
    assert "--no-efi" in refusal(ctl(*command), code=4)


@pytest.mark.parametrize("loaded", [False, True])
def test_unload_asks_the_kernel_only_where_there_is_something_to_unload(
    ctl: Ctl, machine: Path, loaded: bool
) -> None:
    write(machine, "sys/kernel/kexec_loaded", f"{loaded:d}\n")

    if loaded:
        assert "The kernel refused it" in refusal(ctl("unload"))
    else:
        assert ctl("unload").stdout == "No kernel was loaded.\n"
        shown = as_json(ctl("unload", "--json=short"))
        conform("unload", shown)
        assert shown["unloaded"] is False


def test_exec_starts_only_what_is_loaded(ctl: Ctl, machine: Path, top: Path) -> None:
    path = with_systemctl(top)
    assert "No kernel is loaded" in refusal(ctl("exec", PATH=path))

    write(machine, "sys/kernel/kexec_loaded", "1\n")
    done = ctl("exec", PATH=path)

    assert (done.returncode, done.stdout, done.stderr) == (0, "systemctl kexec\n", "")
