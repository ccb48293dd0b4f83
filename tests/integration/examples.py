# SPDX-License-Identifier: LGPL-2.1-or-later
"""The programs of examples/: built as their readers are told, and run to their end."""

import re
import shutil
import stat
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.support.daemon import CHECKOUT
from tests.support.notify_socket import DEADLINE

EXAMPLES = CHECKOUT / "examples"


def build_command() -> str:
    """The command that place.c tells its readers."""
    (command,) = re.findall(r"^ \* +(cc .*)$", (EXAMPLES / "place.c").read_text(), re.MULTILINE)
    return str(command)


def build(directory: Path, *flags: str, compiler: str = "cc") -> Path:
    """place.c built in a directory by that command, with further flags; a warning is an error."""
    shutil.copy(EXAMPLES / "place.c", directory)
    command = build_command().replace("cc", compiler, 1)
    done = subprocess.run(
        f"{command} -Werror {' '.join(flags)}",
        shell=True,
        cwd=directory,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return directory / "place"


class Run:
    """A program that has run to its end, and what it left."""

    def __init__(
        self, program: Path, environment: Mapping[str, str], out: Path, *setpriv: str
    ) -> None:
        self._files = [out / "image", out / "efi_info"]
        done = subprocess.run(
            [*setpriv, str(program), *map(str, self._files)],
            env=environment,
            capture_output=True,
            text=True,
            timeout=DEADLINE,
        )
        self.status, self.stdout, self.stderr = done.returncode, done.stdout, done.stderr

    @property
    def placed(self) -> tuple[bytes, bytes]:
        """The image and efi_info of a success, which says nothing on standard error."""
        assert (self.status, self.stderr) == (0, "")
        assert {stat.S_IMODE(file.stat().st_mode) for file in self._files} == {0o600}
        return self._files[0].read_bytes(), self._files[1].read_bytes()

    def printed(self, field: str) -> int:
        """A number that it prints for boot_params."""
        found = re.search(rf"^  0x[0-9a-f]{{3}}  {field} +(0x[0-9a-f]+)$", self.stdout, re.M)
        assert found, self.stdout
        return int(found[1], 16)

    @property
    def address(self) -> int:
        return self.printed("hdr.setup_data")

    @property
    def failure(self) -> str:
        """What a failure says, which leaves nothing behind."""
        assert (self.status, self.stdout) == (1, "")
        assert not any(file.exists() for file in self._files)
        assert self.stderr
        return self.stderr
