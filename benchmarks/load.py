#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What memory a load takes, beside a program in C that reads the same files into malloc's."""

import os
import subprocess
import sys
import tempfile
from multiprocessing import Process
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.support.kernels import bzimage, uki
from tests.support.recordings import FIRST_KERNEL, materialise

CHECKOUT = Path(__file__).resolve().parents[1]
INITRD = 100 << 20
KERNEL = 8 << 20
READER = r"""
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        struct stat status;
        int fd = open(argv[i], O_RDONLY);
        if (fd < 0 || fstat(fd, &status) < 0)
            return 1;
        char *at = malloc(status.st_size), *end = at + status.st_size;
        while (at && at < end) {
            ssize_t count = read(fd, at, end - at);
            if (count <= 0)
                return 1;
            at += count;
        }
    }
    return 0;
}
"""


def peak(*command: str | Path) -> int:
    """The most memory that a command had at any time, in MiB."""
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{command} failed")
    return usage.ru_maxrss >> 10


def make(top: Path) -> None:
    """Make the files to load, and the machine to load them for."""
    materialise(FIRST_KERNEL, top / "tree")
    linux = bzimage(b"\x90" * KERNEL, init_size=64 << 20)
    initrd = b"070701" + os.urandom(INITRD)
    unified = ((".linux", linux), (".initrd", initrd), (".cmdline", b"quiet"))
    for name, content in (
        ("vmlinuz", linux),
        ("one", initrd),
        ("two", initrd),
        ("uki.efi", uki(*unified)),
        ("ucode.efi", uki((".ucode", initrd), *unified)),
    ):
        (top / name).write_bytes(content)


def main() -> None:
    """Print a line for each kind of load."""
    with tempfile.TemporaryDirectory(prefix="kexecprepd-benchmark-") as work:
        top = Path(work)
        # In a process of its own: a peak counts for every process that is started afterwards.
        maker = Process(target=make, args=(top,))
        maker.start()
        maker.join()
        (top / "reader.c").write_text(READER)
        subprocess.run(["cc", "-O2", "-o", top / "reader", top / "reader.c"], check=True)
        load = (sys.executable, "-m", "kexecprepd.ctl", "load", "--dry-run", f"--root={top}/tree")
        for what, names in (
            ("one initrd", ["vmlinuz", "one"]),
            ("two initrds", ["vmlinuz", "one", "two"]),
            ("unified", ["uki.efi"]),
            ("with .ucode", ["ucode.efi"]),
        ):
            kernel, *initrds = (top / name for name in names)
            theirs = peak(top / "reader", kernel, *initrds)
            ours = peak(*load, kernel, *(f"--initrd={path}" for path in initrds), "--append=x")
            print(f"{what:12} {ours:4} MiB, {ours / theirs:.2f} times those of the reader in C")


if __name__ == "__main__":
    main()
