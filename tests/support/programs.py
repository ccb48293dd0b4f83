# SPDX-License-Identifier: LGPL-2.1-or-later
"""Programs that stand in PATH for what need not be installed here."""

from pathlib import Path


class Programs:
    """A directory of them, to be PATH or the beginning of it."""

    def __init__(self, folder: Path) -> None:
        """Make the directory."""
        folder.mkdir()
        self.folder = folder

    def add(self, name: str, prints: str, interpreter: str = "/bin/sh") -> None:
        """One that prints something, whatever it is asked."""
        path = self.folder / name
        path.write_text(f"#!{interpreter}\necho '{prints}'\n")
        path.chmod(0o755)
