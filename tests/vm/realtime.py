# SPDX-License-Identifier: LGPL-2.1-or-later
"""Debian's real-time kernel, and an initrd of a single program: it needs no modules to show itself.

A guest's image would take twice the room and the time with another kernel's modules.
"""

from __future__ import annotations

import re
from pathlib import Path

from tests.lab.guest import Guest
from tests.lab.image import ImageError, run_tool

META_PACKAGE = "linux-image-rt-amd64"
END = "Another kernel is here:"
"""What the program says on the console, before the kernel's version; then it powers off."""

_FETCH = r"""
cd "$1"
apt-get -q download "$2" 2>&1
dpkg-deb --fsys-tarfile ./*.deb | tar -x --strip-components=2 --wildcards './boot/vmlinuz-*'
rm ./*.deb
"""

_INIT = f"""#!/bin/busybox sh
/bin/busybox echo "{END} $(/bin/busybox uname -v)"
/bin/busybox poweroff -f
"""

_MAKE = r"""
cp "$(command -v busybox)" bin/busybox
find . | busybox cpio -o -H newc >../initrd
"""


def realtime_kernel(folder: Path) -> bytes:
    """The one of the release that this machine has, as apt finds it."""
    # The mirror may have another one by now. A list that cannot be had is no reason to stop.
    run_tool(["sh", "-c", "apt-get -qq update 2>&1 || :"])
    told = re.search(
        r"Depends: (linux-image-\S+)", run_tool(["apt-cache", "depends", META_PACKAGE])
    )
    if told is None:
        raise ImageError(f"apt knows no {META_PACKAGE}: see what apt-get update says")
    run_tool(["sh", "-ec", _FETCH, "sh", str(folder), told[1]])
    (kernel,) = folder.glob("vmlinuz-*")
    return kernel.read_bytes()


def make_initrd(guest: Guest) -> str:
    """Make it in the guest, of the program that is there; where it is."""
    top = "/run/made"
    guest.write_file(f"{top}/tree/init", _INIT.encode(), mode=0o755)
    guest.run(["sh", "-ec", f"mkdir {top}/tree/bin; cd {top}/tree; {_MAKE}"])
    return f"{top}/initrd"
