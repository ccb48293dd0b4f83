# SPDX-License-Identifier: LGPL-2.1-or-later
"""Small machines with boot entries, one for each way in which entries are found."""

import json
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from kexecprepd.loader import addons, entries
from kexecprepd.loader.bootctl import understood
from kexecprepd.loader.entry import Kind
from kexecprepd.loader.errors import LoadError
from kexecprepd.reading import small
from tests.support import kernels
from tests.support.recordings import write

from .in_tree import InTree

_EFIVARS = "sys/firmware/efi/efivars"
_LOADER = "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"

_RUNNING = {
    "proc/cmdline": b"BOOT_IMAGE=/vmlinuz root=/dev/sda1 quiet\n",
    "proc/sys/kernel/osrelease": b"6.1.0-made-up\n",
    "etc/os-release": b'PRETTY_NAME="Debian GNU/Linux 13 (trixie)"\nID=debian\n',
}

_KERNEL = kernels.bzimage(b"\x90" * 0x200)

_ADDON = kernels.uki((".cmdline", b"debug\0"), (".ucode", b"070701"), (".uname", b"6.1.0-made-up"))

_IMAGE = kernels.uki(
    (".linux", _KERNEL),
    (".osrel", b'NAME=Arch\nPRETTY_NAME="Arch Linux"\nID=arch\nVERSION_ID=7\n'),
    (".cmdline", b"root=/dev/sda1\0"),
    (".profile", b"ID=main\nTITLE=Main\n"),
    (".profile", b"ID=other\n"),
    (".cmdline", b"root=/dev/sda2\0"),
)

_SYSTEMD_BOOT: Mapping[str, bytes] = {
    **_RUNNING,
    "efi/loader/loader.conf": b"timeout 3\npreferred arch*\ndefault debian-?.conf\n",
    "efi/loader/entries/debian-1+3-1.conf": b"# Debian\ntitle Debian 1\nsort-key debian\n"
    b"version 1~rc2\nmachine-id 0123\narchitecture x64\nlinux /debian/linux\n"
    b"initrd /debian/initrd\noptions root=/dev/sda1\noptions quiet\n",
    "efi/loader/entries/debian-2.conf": b"title Debian 2\nlinux \\debian\\linux\n",
    "efi/loader/entries/image.conf": b"uki /EFI/Linux/arch+2-1.efi\nprofile 1\n",
    "efi/debian/linux": _KERNEL,
    "efi/debian/initrd": b"070701",
    "efi/EFI/Linux/arch+2-1.efi": _IMAGE,
    "efi/EFI/Linux/arch.efi.extra.d/a.addon.efi": _ADDON,
    "efi/loader/addons/b.addon.efi": _ADDON,
    "bootctl.json": b'[{"type":"type1","id":"debian-2.conf","isDefault":true,"root":"/nowhere"},'
    b'{"type":"auto","id":"auto-windows","isDefault":false,"root":null}]',
    **{
        f"{_EFIVARS}/{name}-{_LOADER}": b"\6\0\0\0" + value.encode("utf-16-le") + b"\0\0"
        for name, value in {
            "LoaderInfo": "systemd-boot 257.9",
            "LoaderEntryPreferred": "debian-*",
            "LoaderEntryDefault": "@saved",
            "LoaderEntryLastBooted": "debian-2.conf",
            "LoaderEntrySelected": "debian-1.conf",
        }.items()
    },
}

_GRUB: Mapping[str, bytes] = {
    **_RUNNING,
    "boot/grub2/grub.cfg": b"insmod blscfg\nblscfg\n",
    "boot/grub2/grubenv": b"# GRUB Environment Block\nsaved_entry=fedora-2\n"
    b"kernelopts=root=/dev/sda1 a\\\\b\ntuned_initrd=/initrd\n####",
    "boot/loader/entries/fedora-1.conf": b"title Fedora 1\nversion 6.1.0-1\nlinux /vmlinuz-1\n"
    b"initrd /initrd $tuned_initrd\noptions $kernelopts ${unset}\n",
    "boot/loader/entries/fedora-2.conf": b"title Fedora 2\nlinux /vmlinuz-2\noptions ro\n",
    "boot/vmlinuz-1": _KERNEL,
    "boot/vmlinuz-2": _KERNEL,
    "boot/initrd": b"070701",
    "boot/initrd.img-2": b"070701",
}


def systemd_boot(root: Path) -> InTree:
    """Entries of both types with their add-ons, and what bootctl says of them."""
    return _entries(root, _SYSTEMD_BOOT)


def grub(root: Path) -> InTree:
    """Entries that GRUB reads; its kernels are entries by themselves where it reads none."""
    return _entries(root, _GRUB)


def _entries(root: Path, files: Mapping[str, bytes]) -> InTree:
    for path, content in files.items():
        write(root, path, content)
    return InTree(root, lambda: _read(root))


def _read(root: Path) -> None:
    try:
        told = understood(json.loads(small.contents(root / "bootctl.json")))
    except (OSError, ValueError, RecursionError):  # as where bootctl is asked
        told = None
    found = entries.find(root, told)
    json.dumps(entries.as_json(found))
    for each in found.entries:
        if each.kind is Kind.TYPE2:
            _read_addons(each.kernel, each.release)


def _read_addons(image: Path, release: str | None) -> None:
    try:
        with ExitStack() as stack:
            addons.read(addons.beside(image).addons, release, stack)
    except LoadError:
        pass
