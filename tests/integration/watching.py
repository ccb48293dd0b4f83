# SPDX-License-Identifier: LGPL-2.1-or-later
"""A `kexecprepctl watch` that runs beside a test."""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from tests.support.daemon import CHECKOUT
from tests.support.lines import Lines
from tests.support.private_bus import PrivateBus


@dataclass(frozen=True)
class Watch:
    """A running `kexecprepctl watch`, and what it says."""

    process: "subprocess.Popen[bytes]"
    stdout: Lines
    stderr: Lines


@contextmanager
def watch(bus: PrivateBus, *arguments: str, wrapper: Sequence[str] = ()) -> Iterator[Watch]:
    """`kexecprepctl watch` that has begun, started by `wrapper`."""
    process = subprocess.Popen(
        [*wrapper, sys.executable, "-m", "kexecprepd.ctl", "watch", *arguments],
        env=bus.environment,
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    watching = Watch(process, Lines(process.stdout), Lines(process.stderr))
    try:
        assert watching.stderr.next() == "Watching, from generation 1 on.\n"
        yield watching
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()
