# SPDX-License-Identifier: LGPL-2.1-or-later
"""What boot loaders leave on a machine: files, kernels of a release, variables; and its entries."""

from pathlib import Path

from kexecprepd.loader.entries import Found

from .kernels import bzimage

_LOADER = "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"
"""The vendor of systemd-boot's variables (Boot Loader Interface)."""


def put(path: Path, content: bytes | str = b"x") -> Path:
    """A file, with its directories."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def kernel(release: str) -> bytes:
    """A bzImage that says this release of itself."""
    image = bytearray(bzimage())
    image[0x300:0x380] = f"{release} (nobody@example.org) #1".encode().ljust(0x80, b"\0")
    return bytes(image)


def variable(root: Path, name: str, text: str) -> None:
    """One of systemd-boot's variables, as efivarfs shows it."""
    value = b"\6\0\0\0" + text.encode("utf-16-le") + b"\0\0"
    put(root / f"sys/firmware/efi/efivars/{name}-{_LOADER}", value)


def ids(found: Found) -> list[str]:
    """Of all entries, in their order."""
    return [each.id for each in found.entries]
