# SPDX-License-Identifier: LGPL-2.1-or-later
"""What one kernel of a guest shows of EFI and of the firmware's tables: what a kexec can lose."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass

from tests.lab.guest import Guest

from . import expected
from .service import properties

VARIABLES = "/sys/firmware/efi/efivars"
MEMORY_MAP = "/sys/firmware/memmap"

SETUP_DATA = "/sys/kernel/boot_params/setup_data"
SETUP_PCI = 3
SETUP_EFI = 4
SECURE_BOOT = 0x1EC
SECURE_BOOT_DISABLED = 2


@dataclass(frozen=True)
class Kernel:
    """What one kernel of the chain shows of EFI and of the firmware's tables."""

    regions: frozenset[tuple[int, ...]]
    sha256: str
    variables: frozenset[str]
    bgrt: str | None
    dmi: str | None
    acpi: frozenset[str]
    secure_boot: int
    roms: tuple[bytes, ...]
    efi_payload: bytes | None

    @classmethod
    def of(cls, guest: Guest) -> Kernel:
        """Ask the running one."""
        handed = payloads(guest)
        return cls(
            regions=regions(guest),
            sha256=properties(guest)["Sha256"],
            variables=frozenset(names(guest, VARIABLES)),
            bgrt=digest(guest, "/sys/firmware/acpi/bgrt/image"),
            dmi=text(guest, "/sys/class/dmi/id/product_name"),
            acpi=frozenset(names(guest, "/sys/firmware/acpi/tables")),
            secure_boot=guest.read_file("/sys/kernel/boot_params/data")[SECURE_BOOT],
            roms=tuple(data for kind, data in handed if kind == SETUP_PCI),
            efi_payload=next((data for kind, data in handed if kind == SETUP_EFI), None),
        )


def regions(guest: Guest) -> frozenset[tuple[int, ...]]:
    """Type, physical and virtual address, pages and attribute of each runtime region.

    Where the boot logo lies within a larger region, a kexec'd kernel splits that and leaves all
    pieces the virtual address of the whole (efi_arch_mem_reserve()): here they are whole again.
    """
    found: list[list[int]] = []
    entries = expected.runtime_regions(guest)
    for r in sorted(entries, key=lambda r: r["phys_addr"]):
        region = [r[n] for n in ("type", "phys_addr", "virt_addr", "num_pages", "attribute")]
        last = found[-1] if found else None
        if last and last[2] == region[2] and last[1] + (last[3] << 12) == region[1]:
            last[3] += region[3]
        else:
            found.append(region)
    return frozenset(map(tuple, found))


def names(guest: Guest, folder: str) -> list[str]:
    """What is in a directory; nothing where there is none."""
    return guest.run(["ls", folder], check=False).stdout.split()


def text(guest: Guest, path: str) -> str | None:
    """A file's text, None where there is no such file."""
    done = guest.run(["cat", path], check=False)
    return done.stdout.strip() if done.returncode == 0 else None


def digest(guest: Guest, path: str) -> str | None:
    """A file's digest, None where there is no such file."""
    done = guest.run_bytes(["cat", path], check=False)
    return hashlib.sha256(done.stdout).hexdigest() if done.returncode == 0 else None


def payloads(guest: Guest) -> list[tuple[int, bytes]]:
    """Type and payload of each setup_data node that this kernel was handed, in their order."""
    each = 'echo "$(cat $node/type) $(base64 --wrap=0 $node/data)"'
    script = f"cd {SETUP_DATA} || exit 0; for node in $(ls | sort -n); do {each}; done"
    lines = guest.run(["sh", "-c", script]).stdout.splitlines()
    parts = (line.split(" ") for line in lines)
    return [(int(kind, 16), base64.b64decode(data)) for kind, data in parts]


def files(guest: Guest) -> tuple[str, str]:
    """The guest's own kernel and initrd, which the next kernel is to be."""
    release = guest.run(["uname", "-r"]).stdout.strip()
    return f"/boot/vmlinuz-{release}", f"/boot/initrd.img-{release}"
