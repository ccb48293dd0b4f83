# SPDX-License-Identifier: LGPL-2.1-or-later
"""The boot entries of made-up machines: which there are, which is the default, which runs."""

import os
from argparse import Namespace
from pathlib import Path

import pytest

from kexecprepd.abi.setup_data import SETUP_EFI
from kexecprepd.ctl.wanted import read_wanted, request_of
from kexecprepd.loader.bootctl import Told, understood
from kexecprepd.loader.entries import as_json, find
from kexecprepd.loader.errors import LoadError
from tests.support.boot_entries import ids, kernel, put, variable
from tests.support.kernels import VERSION, bzimage, uki
from tests.support.recordings import add_setup_data, write
from tests.support.wanted import OPTIONS

RELEASE = VERSION.split()[0]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write(tmp_path, "proc/cmdline", "BOOT_IMAGE=/vmlinuz root=/dev/sda1 quiet\n")
    write(tmp_path, "proc/sys/kernel/osrelease", "6.1.0-10-amd64\n")
    put(tmp_path / "etc/os-release", 'PRETTY_NAME="Debian GNU/Linux 13 (trixie)"\n')
    return tmp_path


@pytest.fixture
def plain(root: Path) -> Path:
    """A machine with GRUB, and two kernels in /boot."""
    put(root / "boot/grub/grub.cfg", "menuentry x {}")
    for version in ("6.1.0-9-amd64", "6.1.0-10-amd64"):
        put(root / f"boot/vmlinuz-{version}", kernel(version))
        put(root / f"boot/initrd.img-{version}")
    return root


@pytest.fixture
def systemd_boot(root: Path) -> Path:
    """A machine with systemd-boot, an ESP in /efi and three entries of both types."""
    variable(root, "LoaderInfo", "systemd-boot 257.9")
    for number in ("1", "2"):
        put(
            root / f"efi/loader/entries/debian-{number}.conf",
            f"title Debian {number}\nsort-key debian\nversion {number}\nlinux /debian/{number}\n"
            f"initrd /debian/initrd\noptions root=/dev/sda1 entry={number}\n",
        )
        put(root / f"efi/debian/{number}", kernel(f"6.{number}"))
    put(root / "efi/debian/initrd")
    osrel = b'NAME=Arch\nPRETTY_NAME="Arch Linux"\nID=arch\nVERSION_ID=7\n'
    image = uki((".linux", bzimage()), (".cmdline", b"own"), (".osrel", osrel))
    put(root / "efi/EFI/Linux/arch+2-1.efi", image)
    return root


def test_without_entries_it_is_the_newest_kernel_that_is_installed(plain: Path) -> None:
    put(plain / "boot/vmlinuz-6.1.0-11-amd64.old", kernel("6.1.0-11-amd64"))
    put(plain / "boot/vmlinuz-6.1.0-10-amd64.dpkg-tmp", kernel("x"))
    put(plain / "boot/vmlinuz-0-rescue-1234", kernel("x"))

    found = find(plain, None)

    assert ids(found) == ["6.1.0-10-amd64", "6.1.0-9-amd64"]
    default = found.named(None)
    assert default.title == "Debian GNU/Linux 13 (trixie), Linux 6.1.0-10-amd64"
    assert default.initrds == (plain / "boot/initrd.img-6.1.0-10-amd64",)
    assert default.options == "root=/dev/sda1 quiet"
    assert found.running == default


@pytest.mark.parametrize(
    ("version", "initrd"),
    [
        ("7.0.0-1-generic", "initrd.img-7.0.0-1-generic"),
        ("7.0.0-1.fc45.x86_64", "initramfs-7.0.0-1.fc45.x86_64.img"),
        ("7.0.0-1-default", "initrd-7.0.0-1-default"),
        ("linux", "initramfs-linux.img"),
    ],
)
def test_initrds_are_found_by_the_names_that_distributions_give(
    root: Path, version: str, initrd: str
) -> None:
    put(root / f"boot/vmlinuz-{version}", kernel(version))
    put(root / f"boot/{initrd}")

    assert find(root, None).named(version).initrds == (root / "boot" / initrd,)


def test_a_kernel_without_an_initrd_has_none_and_a_release_is_newer_than_its_candidate(
    root: Path,
) -> None:
    for version in ("7.0.0", "7.0.0-rc7"):
        put(root / f"boot/vmlinuz-{version}", kernel(version))

    found = find(root, None)

    assert (ids(found), found.entries[0].initrds) == (["7.0.0", "7.0.0-rc7"], ())


def test_a_newer_kernel_whose_initrd_is_not_there_yet_is_not_the_default(plain: Path) -> None:
    put(plain / "boot/vmlinuz-6.1.0-11-amd64", kernel("6.1.0-11-amd64"))

    found = find(plain, None)

    assert ids(found)[0] == "6.1.0-11-amd64"
    assert found.named(None).id == "6.1.0-10-amd64"
    assert ["vmlinuz-6.1.0-11-amd64 has no initrd" in note for note in found.notes] == [True]


def test_systemd_boot_s_entries_come_in_its_order_and_the_first_is_the_default(
    systemd_boot: Path,
) -> None:
    found = find(systemd_boot, None)

    assert ids(found) == ["arch.efi", "debian-2.conf", "debian-1.conf"]
    arch, debian, _ = found.entries
    assert found.default == arch
    assert (arch.title, arch.options, arch.tries_left) == ("Arch Linux", None, 2)
    assert debian.kernel == systemd_boot / "efi/debian/2"
    assert debian.options == "root=/dev/sda1 entry=2"


@pytest.mark.parametrize(
    ("default", "conf", "expected"),
    [
        ("debian-1.conf", "default arch*", "debian-1.conf"),
        ("", "default debian-*", "debian-2.conf"),
        ("gone.conf", "default debian-1.conf", "debian-1.conf"),
        ("@saved", "", "debian-1.conf"),
        ("gone.conf", "", "arch.efi"),
    ],
)
def test_the_default_is_systemd_boot_s(
    systemd_boot: Path, default: str, conf: str, expected: str
) -> None:
    variable(systemd_boot, "LoaderEntryDefault", default)
    variable(systemd_boot, "LoaderEntryLastBooted", "debian-1.conf")
    put(systemd_boot / "efi/loader/loader.conf", conf)

    assert find(systemd_boot, None).named(None).id == expected


def test_what_bootctl_knows_comes_first(systemd_boot: Path, root: Path) -> None:
    elsewhere = root / "mnt/esp"
    put(elsewhere / "loader/entries/far.conf", "linux /vmlinuz\nsort-key a\n")
    put(elsewhere / "vmlinuz", bzimage())

    found = find(systemd_boot, Told((elsewhere,), "debian-1.conf"))

    assert "far.conf" in ids(found)
    assert found.named(None).id == "debian-1.conf"


@pytest.mark.parametrize("told", [Told((), "auto-windows"), None])
def test_another_system_is_not_replaced_by_an_entry_of_linux(
    systemd_boot: Path, told: Told | None
) -> None:
    variable(systemd_boot, "LoaderEntryDefault", "auto-windows")

    found = find(systemd_boot, told)

    assert ids(found)
    with pytest.raises(LoadError, match="another system than Linux"):
        found.named(None)


def test_an_entry_is_named_with_or_without_its_suffix(systemd_boot: Path) -> None:
    found = find(systemd_boot, None)

    assert found.named("debian-1").id == found.named("debian-1.conf").id == "debian-1.conf"
    with pytest.raises(LoadError, match="no boot entry nothing"):
        found.named("nothing")


def test_each_profile_of_an_image_is_an_entry(root: Path) -> None:
    sections = ((".profile", b"ID=main"), (".profile", b"ID=reset\nTITLE=Reset"))
    put(root / "boot/EFI/Linux/a.efi", uki((".linux", bzimage()), (".cmdline", b"x"), *sections))

    found = find(root, None)

    assert {each.id: each.profile for each in found.entries} == {"a.efi": "0", "a.efi@reset": "1"}
    assert found.named(None).id == "a.efi"


def test_a_stub_of_lanzaboote_leads_to_its_kernel(root: Path) -> None:
    kernel_path, initrd = rb"\EFI\nixos\kernel.efi", rb"\EFI\nixos\initrd.efi"
    sections = ((".linuxh", b"x" * 32), (".initrd", initrd), (".initrdh", b"x" * 32))
    stub = uki((".linux", kernel_path), (".cmdline", b"init=/nix/x"), *sections)
    put(root / "boot/EFI/Linux/nixos.efi", stub)
    put(root / "boot/EFI/nixos/kernel.efi", kernel("6.12.1"))
    put(root / "boot/EFI/nixos/initrd.efi")

    entry = find(root, None).named("nixos.efi")

    assert entry.kernel == root / "boot/EFI/nixos/kernel.efi"
    assert entry.initrds == (root / "boot/EFI/nixos/initrd.efi",)
    assert (entry.options, entry.release) == ("init=/nix/x", "6.12.1")


@pytest.fixture
def fedora(root: Path) -> Path:
    """A machine whose GRUB reads the entries in /boot/loader, which is a directory of its disk."""
    put(root / "boot/grub2/grub.cfg", "insmod blscfg\nblscfg\n")
    put(root / "boot/grub2/grubenv", "# GRUB Environment Block\nkernelopts=root=/dev/sda1\n####")
    for number in ("9", "10"):
        put(
            root / f"boot/loader/entries/id-6.{number}.conf",
            f"title Fedora {number}\nlinux /boot/vmlinuz-6.{number}\n"
            f"initrd /boot/initramfs-6.{number}.img $tuned_initrd\n"
            f"options $kernelopts n={number}\n",
        )
        put(root / f"boot/vmlinuz-6.{number}", kernel(f"6.{number}"))
        put(root / f"boot/initramfs-6.{number}.img")
    return root


def test_grub_s_entries_have_its_variables_and_its_order(fedora: Path) -> None:
    found = find(fedora, None)

    assert ids(found) == ["id-6.10.conf", "id-6.9.conf"]
    entry = found.named(None)
    assert entry.kernel == fedora / "boot/vmlinuz-6.10"
    assert entry.initrds == (fedora / "boot/initramfs-6.10.img",)
    assert entry.options == "root=/dev/sda1 n=10"


def test_grub_s_saved_entry_is_the_default(fedora: Path) -> None:
    put(fedora / "boot/grub2/grubenv", "saved_entry=id-6.9\nkernelopts=x\n")

    assert find(fedora, None).named(None).id == "id-6.9.conf"


def test_an_entry_without_the_command_line_that_it_refers_to_is_left_out(fedora: Path) -> None:
    put(fedora / "boot/grub2/grubenv", "# GRUB Environment Block\n")

    found = find(fedora, None)

    assert not any(each.id.startswith("id-") for each in found.entries)
    assert any("kernelopts" in note for note in found.notes)


def test_entries_that_grub_does_not_read_do_not_count(plain: Path) -> None:
    put(plain / "boot/loader/entries/stray.conf", "linux /vmlinuz-6.1.0-9-amd64\n")

    assert ids(find(plain, None)) == ["6.1.0-10-amd64", "6.1.0-9-amd64"]


@pytest.mark.parametrize(
    ("selected", "cmdline", "expected"),
    [
        ("two.conf", "unknown", "two.conf"),
        ("", "BOOT_IMAGE=x a=2", "two.conf"),
        ("", "unknown", None),
    ],
)
def test_of_two_with_the_kernel_that_runs_it_is_the_one_that_was_started(
    root: Path, selected: str, cmdline: str, expected: str | None
) -> None:
    write(root, "proc/cmdline", cmdline + "\n")
    variable(root, "LoaderEntrySelected", selected)
    put(root / "boot/k", kernel("6.1.0-10-amd64"))
    for number, name in enumerate(("one", "two"), 1):
        put(root / f"boot/loader/entries/{name}.conf", f"linux /k\noptions a={number}\n")

    running = find(root, None).running

    assert (running.id if running else None) == expected


def test_after_a_kexec_it_is_not_what_the_boot_loader_started(root: Path) -> None:
    write(root, "proc/cmdline", "a=2\n")
    variable(root, "LoaderEntrySelected", "one.conf")
    add_setup_data(root, SETUP_EFI, bytes(96))
    put(root / "boot/k", kernel("6.1.0-10-amd64"))
    for number, name in enumerate(("one", "two"), 1):
        put(root / f"boot/loader/entries/{name}.conf", f"linux /k\noptions a={number}\n")

    running = find(root, None).running

    assert running is not None
    assert running.id == "two.conf"


def test_which_of_two_files_with_one_release_runs_is_not_told(root: Path) -> None:
    for name in ("a", "b"):
        put(root / f"boot/vmlinuz-{name}", kernel("6.1.0-10-amd64"))

    assert find(root, None).running is None


def test_an_entry_without_options_has_an_empty_command_line(systemd_boot: Path) -> None:
    put(systemd_boot / "efi/loader/entries/bare.conf", "linux /debian/1\n")

    assert find(systemd_boot, None).named("bare").options == ""


def test_an_entry_that_has_failed_too_often_is_not_preferred(systemd_boot: Path) -> None:
    entries = systemd_boot / "efi/loader/entries"
    (entries / "debian-2.conf").rename(entries / "debian-2+0-3.conf")
    variable(systemd_boot, "LoaderEntryPreferred", "debian-2*")

    assert find(systemd_boot, None).named(None).id == "arch.efi"


HOSTILE = {
    "a kernel that is not there": "linux /gone\n",
    "a path out of the partition": "linux /../etc/os-release\n",
    "another architecture": "linux /k\narchitecture aa64\n",
    "another program": "efi /shell.efi\n",
    "no kernel": "title nothing\n",
    "an initrd that is a directory": "linux /k\ninitrd /loader\n",
    "a pipe": "linux /pipe\n",
    "a link to itself": "linux /loop\n",
    "a device": "linux /k\ninitrd /zero\n",
    "a name that is too long": f"linux /{'k' * 300}\n",
    "a NUL in a name": "linux /k\0\n",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_an_entry_that_cannot_be_started_is_left_out(systemd_boot: Path, name: str) -> None:
    put(systemd_boot / "efi/loader/entries/bad.conf", HOSTILE[name])
    put(systemd_boot / "efi/k", bzimage())
    put(systemd_boot / "efi/shell.efi", uki((".text", b"x")))
    os.mkfifo(systemd_boot / "efi/pipe")
    (systemd_boot / "efi/loop").symlink_to("loop")
    (systemd_boot / "efi/zero").symlink_to("/dev/zero")

    assert ids(find(systemd_boot, None)) == ["arch.efi", "debian-2.conf", "debian-1.conf"]


def test_files_that_are_none_neither_stop_nor_fill_it(systemd_boot: Path) -> None:
    entries = systemd_boot / "efi/loader/entries"
    os.mkfifo(entries / "pipe.conf")
    (entries / "folder.conf").mkdir()
    (entries / "loop.conf").symlink_to("loop.conf")
    (entries / "zero.conf").symlink_to("/dev/zero")
    with (entries / "huge.conf").open("wb") as file:
        file.truncate(1 << 40)
    os.mkfifo(systemd_boot / "efi/EFI/Linux/pipe.efi")
    with (systemd_boot / "efi/EFI/Linux/huge.efi").open("wb") as file:
        file.truncate(1 << 40)

    found = find(systemd_boot, None)

    assert ids(found) == ["arch.efi", "debian-2.conf", "debian-1.conf"]
    assert len(found.notes) == 7


def test_where_there_is_nothing_it_is_said(root: Path) -> None:
    found = find(root, None)

    assert found.entries == ()
    with pytest.raises(LoadError, match="no boot entry, and no kernel in /boot"):
        found.named(None)


def test_json_tells_the_default_and_the_one_that_runs(plain: Path) -> None:
    shown = as_json(find(plain, None))

    assert [(each["id"], each["default"], each["running"]) for each in shown] == [
        ("6.1.0-10-amd64", True, True),
        ("6.1.0-9-amd64", False, False),
    ]


def test_an_entry_is_loaded_with_its_command_line_and_what_is_added(plain: Path) -> None:
    put(plain / "more", b"070701")
    options = {"root": plain, "append": "single", "initrd": [plain / "more"]}

    asked_for = Namespace(**{**OPTIONS, **options})
    with read_wanted(asked_for) as found:
        asked = request_of(found, asked_for)

    assert found.entry is not None
    assert found.cmdline == "root=/dev/sda1 quiet single"
    assert asked.default
    assert [Path(each.path).name for each in asked.initrds] == ["more"]
    assert [Path(each.path).name for each in asked.others] == ["initrd.img-6.1.0-10-amd64"]


def test_bootctl_s_answer_is_believed_only_as_far_as_it_is_one() -> None:
    told = understood(
        [
            {"type": "type1", "id": "a.conf", "root": "/efi", "isDefault": False},
            {"type": "type2", "id": "b.efi", "root": "/efi", "isDefault": True},
            {"type": "auto", "id": "auto-x", "root": "/other"},
            "noise",
        ]
    )

    assert told == Told((Path("/efi"),), "b.efi")
    assert understood({}) is None
    assert understood([{"type": "type1", "root": 3, "isDefault": True, "id": 4}]) == Told((), None)
