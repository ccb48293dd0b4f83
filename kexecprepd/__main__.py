# SPDX-License-Identifier: LGPL-2.1-or-later
"""The daemon's command line."""

import argparse
import logging
import sys
from pathlib import Path

from . import __version__


def main(arguments: list[str] | None = None) -> int:
    """Run the daemon; the exit status: 0 stopped, 1 failed, 2 wrong usage."""
    parser = argparse.ArgumentParser(
        prog="kexecprepd",
        allow_abbrev=False,
        description="Packs the EFI runtime map for kexec and serves it as org.kexecprepd1 "
        "on the system bus.",
    )
    parser.add_argument(
        "--root",
        type=Path,
        default=Path("/"),
        metavar="DIR",
        help="take sys/ and run/ (and proc/, if it is there) below DIR",
    )
    parser.add_argument("--debug", action="store_true", help="log more")
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    options = parser.parse_args(arguments)
    from .daemon.main import run

    return run(options.root, logging.DEBUG if options.debug else logging.INFO)


if __name__ == "__main__":
    sys.exit(main())
