# SPDX-License-Identifier: LGPL-2.1-or-later
"""Build and cache a kernel with kexec handover, from Debian's newest source: theirs has it off."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from .environment import cache_dir
from .image import ImageError, run_tool
from .lock import locked

SUITE = "testing"

CONFIG = Path(__file__).with_name("kho.config")
"""What differs from what the kernel's configuration comes with."""

WANTED = ("KEXEC_HANDOVER", "LIVEUPDATE", "LIVEUPDATE_MEMFD", "VIRTIO_CONSOLE", "EFI_RUNTIME_MAP")
"""What must have come of it: an option whose conditions are not met goes without a word."""

_MIRROR = "http://deb.debian.org/debian"
_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


class Apt:
    """apt with lists of its own, of one release: the host's stay as they are."""

    def __init__(self, folder: Path) -> None:
        """Keep all it needs in a folder, and read the lists."""
        for each in ("lists/partial", "archives/partial", "etc"):
            (folder / each).mkdir(parents=True)
        (folder / "status").touch()
        options = f"signed-by={_KEYRING} check-valid-until=no"
        (folder / "etc/sources.list").write_text(f"deb [{options}] {_MIRROR} {SUITE} main\n")
        settings = {
            "Dir::State": folder,
            "Dir::State::status": folder / "status",
            "Dir::Cache": folder,
            "Dir::Etc": folder / "etc",
            "Acquire::Languages": "none",
            "APT::Sandbox::User": "root",
        }
        self._options = [f"--option={name}={value}" for name, value in settings.items()]
        self.run("apt-get", "update", "--quiet=2")

    def run(self, tool: str, *arguments: str, folder: Path | None = None) -> str:
        """The output of apt-get or apt-cache. Raises ImageError."""
        return run_tool([tool, *self._options, *arguments], folder)


@dataclass(frozen=True)
class Source:
    """A package with the kernel's source, and the digest of its file."""

    package: str
    version: str
    sha256: str


def newest(apt: Apt) -> Source:
    """The source that the release has now. Raises ImageError."""
    depends = apt.run("apt-cache", "depends", "linux-source").split()
    package = next((word for word in depends if word.startswith("linux-source-")), None)
    if package is None:
        raise ImageError(f"{SUITE} has no linux-source at this moment: try again another day")
    shown = apt.run("apt-cache", "show", "--no-all-versions", package).splitlines()
    fields = dict(line.partition(": ")[::2] for line in shown if not line.startswith(" "))
    return Source(package, fields["Version"], fields["SHA256"])


def kernel_key(source: Source) -> str:
    """Name a kernel after everything that determines it."""
    compiler = run_tool(["gcc", "--version"]).splitlines()[0]
    recipe = [source.sha256, CONFIG.read_text(), compiler]
    return f"linux-{hashlib.sha256(json.dumps(recipe).encode()).hexdigest()[:16]}"


def get_kernel() -> Path:
    """Return the kernel's bzImage, building it if the cache has none of this source."""
    cache_dir().mkdir(parents=True, exist_ok=True)
    with locked(cache_dir() / "linux.lock"):
        # We hold the lock, so what an interrupted build left behind has no owner.
        for leftover in cache_dir().glob("building-linux-*"):
            shutil.rmtree(leftover)
        work = Path(tempfile.mkdtemp(prefix="building-linux-", dir=cache_dir()))
        try:
            apt = Apt(work / "apt")
            source = newest(apt)
            folder = cache_dir() / kernel_key(source)
            if not folder.is_dir():
                _build(apt, source, work)
                (work / "done").rename(folder)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    return folder / "vmlinuz"


def _build(apt: Apt, source: Source, work: Path) -> None:
    """Leave the kernel and its configuration in `work`/done: minutes, and 3 GB meanwhile."""
    apt.run("apt-get", "download", "--quiet=2", source.package, folder=work)
    (package,) = work.glob(f"{source.package}_*.deb")
    run_tool(["dpkg-deb", "--extract", str(package), str(work / "package")])
    (archive,) = (work / "package/usr/src").glob("linux-source-*.tar.xz")
    tree = work / "tree"
    tree.mkdir()
    run_tool(["tar", "--extract", "--file", str(archive), "-C", str(tree), "--strip-components=1"])
    config = tree / ".config"
    shutil.copyfile(CONFIG, config)
    make = ["make", "--silent", "-C", str(tree)]
    run_tool([*make, "olddefconfig"])
    lines = config.read_text().splitlines()
    missing = [name for name in WANTED if f"CONFIG_{name}=y" not in lines]
    if missing:
        raise ImageError(f"{source.package} {source.version} has no {', '.join(missing)}")
    run_tool([*make, f"-j{os.cpu_count()}", "bzImage"])
    done = work / "done"
    done.mkdir()
    shutil.copyfile(tree / "arch/x86/boot/bzImage", done / "vmlinuz")
    shutil.copyfile(config, done / "config")


if __name__ == "__main__":
    try:
        print(get_kernel())
    except ImageError as error:
        sys.exit(str(error))
