# SPDX-License-Identifier: LGPL-2.1-or-later
"""Sign a kernel with the public test key of Debian's ovmf, which the snakeoil firmware trusts."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from .image import ImageError, run_tool

KEY = Path("/usr/share/ovmf/PkKek-1-snakeoil.key")
CERTIFICATE = Path("/usr/share/ovmf/PkKek-1-snakeoil.pem")
"""Of the installed ovmf: another version's firmware trusts another one."""

PASS_PHRASE = "snakeoil"


def sign(program: Path, to: Path) -> None:
    """Leave a copy of an EFI program, a kernel for one, with that signature and no other.

    The kernel looks at a program's first signature only, and Debian's own is trusted through shim
    alone, which is not there. Raises ImageError.
    """
    for tool in ("sbattach", "sbsign", "openssl"):
        if shutil.which(tool) is None:
            raise ImageError(f"{tool} is missing: install sbsigntool and openssl")
    with tempfile.TemporaryDirectory(prefix="kexecprepd-sign-") as work:
        bare, key = Path(work) / "bare", Path(work) / "key"
        shutil.copyfile(program, bare)
        # A program without a signature is a failure for it; if it is none at all, sbsign says so.
        subprocess.run(["sbattach", "--remove", str(bare)], capture_output=True, check=False)
        secret = f"pass:{PASS_PHRASE}"
        run_tool(["openssl", "pkey", "-in", str(KEY), "-passin", secret, "-out", str(key)])
        keys = ["--key", str(key), "--cert", str(CERTIFICATE)]
        run_tool(["sbsign", *keys, "--output", str(to), str(bare)])
