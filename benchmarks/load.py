# SPDX-License-Identifier: LGPL-2.1-or-later
"""load: what a load's dry run takes, beside C that reads the same files into memory."""

import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from multiprocessing import Process
from pathlib import Path

from benchmarks.measuring import CHECKOUT, Sample, Table, environment, in_turn
from benchmarks.served import PYTHON, built
from tests.support.kernels import bzimage, uki
from tests.support.recordings import FIRST_KERNEL, materialise

INITRD = 100 << 20
KERNEL = 8 << 20
LOADS = {
    "one initrd": ("vmlinuz", "one"),
    "two initrds": ("vmlinuz", "one", "two"),
    "unified": ("uki.efi",),
    "with .ucode": ("ucode.efi",),
}

# A peak begins with that of the process that starts another one, so that must be a small one.
LAUNCHER = """import os, subprocess, sys, time
begin = time.perf_counter()
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
status, used = os.wait4(process.pid, 0)[1:]
took = time.perf_counter() - begin
print(took * 1e6, (used.ru_utime + used.ru_stime) * 1e6, used.ru_maxrss / 1024)
sys.exit(os.waitstatus_to_exitcode(status))"""


def run(rounds: int) -> Iterator[Table]:
    """For each kind of load the reader in C is the floor, of time and of memory."""
    with tempfile.TemporaryDirectory(prefix="kexecprepd-benchmark-") as work:
        top = Path(work)
        reader = built("reader", top)
        # In a process of its own, as making them takes memory that is not given back.
        maker = Process(target=_make, args=(top,))
        maker.start()
        maker.join()
        load = [PYTHON, "-m", "kexecprepd.ctl", "load", "--dry-run", f"--root={top}/tree"]
        around = environment()
        for what, names in LOADS.items():
            kernel, *initrds = (str(top / name) for name in names)
            options = [*(f"--initrd={path}" for path in initrds), "--append=x"]
            contestants = {
                "C, reads the files": partial(
                    _measured, [str(reader), "files", kernel, *initrds], around
                ),
                "kexecprepctl load --dry-run": partial(
                    _measured, [*load, kernel, *options], around
                ),
            }
            yield Table(what, in_turn(contestants, rounds))


def _measured(command: Sequence[str], around: Mapping[str, str]) -> Sample:
    """Run a program; with the most memory that it had at any time."""
    output = subprocess.run(
        [PYTHON, "-S", "-E", "-c", LAUNCHER, *command],
        cwd=CHECKOUT,
        env=dict(around),
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout
    took, used, peak = map(float, output.split())
    return Sample([took], used, {"peak MiB": peak})


def _make(top: Path) -> None:
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
