# SPDX-License-Identifier: LGPL-2.1-or-later
"""kexecprepctl on a machine that a recorded tree describes, with no way to load a kernel there.

It runs in a mount namespace in which the tree is /sys, /proc, /run and /boot, without CAP_SYS_BOOT,
though the tree says that it has it: whatever a test does, the kernel that it runs on refuses to
load.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from tests.support.daemon import CHECKOUT
from tests.support.notify_socket import DEADLINE
from tests.support.recordings import write

from .unprivileged import SETPRIV, modules

# Where the kernel would go, and what is right above the place that it has then: without a look at
# /proc/iomem that is where everything would go.
CRASH = (0x100_0000, 0xFFF_FFFF)
RESERVED = (0x1200_0000, 0x1FFF_FFFF)

# The mounts below are made on mounts that are private here, and so are seen by nobody else. Which
# there are can only be told before /proc is another one.
_MOUNT = (
    'set -e; mkdir -p "$0/run" "$0/boot"; '
    "for each in /sys /proc /run /boot; do "
    "mountpoint -q $each && mount --make-private $each || mount --make-private /; "
    "done; "
    'for each in /sys /proc /run /boot; do mount --bind "$0$each" $each; done; '
    'exec "$@"'
)
_WITHOUT_SYS_BOOT = ("setpriv", "--bounding-set=-sys_boot", "--inh-caps=-sys_boot")
_NAMESPACE = (*_WITHOUT_SYS_BOOT, "unshare", "--mount", "--propagation=unchanged")

Done = subprocess.CompletedProcess[str]


def on_machine(tree: Path, *command: str) -> tuple[str, ...]:
    """What runs a command on the machine of the tree."""
    return (*_NAMESPACE, "sh", "-c", _MOUNT, str(tree), *command)


def run_ctl(
    tree: Path,
    environment: Mapping[str, str],
    *arguments: str | Path,
    user: bool = False,
    stderr: int | IO[bytes] = subprocess.PIPE,
    wrapper: Sequence[str] = (),
    python_path: str = str(CHECKOUT),
) -> Done:
    """Run kexecprepctl, started by `wrapper`, to its end on the machine of the tree, as root or
    without rights.
    """
    program = [*(SETPRIV if user else ()), sys.executable, "-m", "kexecprepd.ctl"]
    return subprocess.run(
        on_machine(tree, *wrapper, *program, *map(str, arguments)),
        env={**environment, "PYTHONPATH": str(modules()) if user else python_path},
        cwd="/" if user else CHECKOUT,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        timeout=DEADLINE,
    )


def make_live(tree: Path) -> Path:
    """Add to a recorded tree what a live kernel shows to root: it allows everything."""
    write(tree, "proc/self/status", "Name:\tpython3\nCapEff:\t000001ffffffffff\n")
    write(tree, "proc/cpuinfo", "processor\t: 0\nflags\t\t: fpu vme\n")
    write(tree, "proc/sys/kernel/kexec_load_disabled", "0\n")
    write(tree, "sys/kernel/kexec_loaded", "0\n")
    write(tree, "proc/iomem", iomem(tree), 0o400)
    return tree


def iomem(tree: Path, crash: tuple[int, int] = CRASH) -> str:
    """/proc/iomem of the tree's memory map, with a crash kernel and memory that is reserved."""
    text = ""
    for start, end, kind in sorted(memory_map(tree)):
        text += f"{start:08x}-{end:08x} : {kind}\n"
        for (first, last), name in ((crash, "Crash kernel"), (RESERVED, "Reserved")):
            if kind == "System RAM" and first <= end and start <= last:
                text += f"  {max(first, start):08x}-{min(last, end):08x} : {name}\n"
    return text


def memory_map(tree: Path) -> list[tuple[int, int, str]]:
    return [
        (
            int((each / "start").read_text(), 16),
            int((each / "end").read_text(), 16),
            (each / "type").read_text().strip(),
        )
        for each in (tree / "sys/firmware/memmap").iterdir()
    ]


def as_json(done: Done) -> dict[str, Any]:
    assert (done.returncode, done.stderr) == (0, "")
    shown: dict[str, Any] = json.loads(done.stdout)
    return shown


def refusal(done: Done, code: int = 1) -> str:
    """What is said on standard error, which is a sentence and a hint and not a traceback."""
    assert (done.returncode, done.stdout) == (code, "")
    sentence, hint = done.stderr.splitlines()
    assert sentence.startswith("kexecprepctl: ")
    assert hint.startswith("  ")
    return done.stderr


def with_systemctl(folder: Path) -> str:
    """A PATH on which systemctl says what it is called with, and does nothing."""
    systemctl = folder / "systemctl"
    systemctl.write_text('#!/bin/sh\necho "systemctl $*"\n')
    systemctl.chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"
