# SPDX-License-Identifier: LGPL-2.1-or-later
"""What `check --kernel` finds out: would this kernel take EFI over?"""

from argparse import Namespace
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from ..loader.errors import LoadError
from ..loader.outlook import Loss, losses
from ..reading.kernel import System
from .exits import failed
from .output import printable, unicode_wanted
from .wanted import Wanted, read_wanted


@dataclass(frozen=True, slots=True)
class Prospect:
    """A kernel that may be started next, and what would keep EFI from it there."""

    file: str
    wanted: Wanted
    losses: tuple[Loss, ...]

    @property
    def takes_efi(self) -> bool:
        """Whether nothing speaks against it."""
        return not self.losses

    def lines(self) -> Iterator[str]:
        """It in words."""
        version = self.wanted.kernel.version_string or "it names no version"
        yield f"The kernel {self.file} ({version}),"
        line = printable(self.wanted.cmdline, unicode=unicode_wanted())
        yield f"with the command line: {line}" if line else "with an empty command line:"
        if self.takes_efi:
            yield "  It takes EFI over."
        for loss in self.losses:
            yield f"  {loss.sentence} [{loss.code}]"
            yield f"      {loss.hint}"

    def as_json(self) -> dict[str, Any]:
        """It for programs."""
        return {
            "file": self.file,
            "version": self.wanted.kernel.version_string,
            "unified": self.wanted.unified,
            "command-line": self.wanted.cmdline,
            "takes-efi": self.takes_efi,
            "losses": [asdict(loss) for loss in self.losses],
        }


def prospect(options: Namespace, system: System) -> Prospect:
    """Read the kernel that the options name, and look ahead. Raises CtlError."""
    try:
        with read_wanted(options) as wanted:
            paging = bool(system.five_level_paging)
            found = losses(wanted.kernel, wanted.cmdline, paging)
            return Prospect(wanted.file, wanted, found)
    except LoadError as error:
        raise failed(error) from error
