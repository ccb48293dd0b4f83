# SPDX-License-Identifier: LGPL-2.1-or-later
"""Has every reader read damaged inputs, and keeps each that brings anything but a documented error.

It runs as root, in a mount namespace of its own, on a small tmpfs that is gone with it, and with
limits on the memory, on the size of a file and on the descriptors: whatever an input leads to, the
machine has room left. An input may take a second of the processor's time, and 100 MB; one that
has a reader wait is found after ten minutes.
"""

import argparse
import hashlib
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from random import Random

from .mutator import mutated
from .readers import Reader, readers

CORPUS = Path(__file__).parent / "corpus"
"""Inputs that are read in every run as they are, a folder for each reader: what was found once."""

_SECONDS = 1.0
_WAITS = 600
"""Seconds of anybody's: the machine may be busy with something else."""

_BYTES = 100_000_000
_FILE_BYTES = 1 << 20
_DESCRIPTORS = 64
_FAILURES = 20
"""After so many it is clear that something is wrong."""

# Seen by nobody else, as the mount that it is made on is private here. Not all of them can be: the
# root of a chroot need be no mount.
_OWN_MOUNTS = ("unshare", "--mount", "--propagation=unchanged")
_MOUNT = (
    'set -e; mount --make-private "$(findmnt --noheadings --output=TARGET --target "$0")"; '
    'mount -t tmpfs -o size=16m,nr_inodes=4k,mode=700 tmpfs "$0"; exec "$@"'
)


def main() -> int:
    """The exit status: 0 where nothing was found."""
    parser = argparse.ArgumentParser(prog="python3 -m tests.fuzz", description=__doc__)
    parser.add_argument("--count", type=int, default=10_000, help="inputs; 10000 by default")
    parser.add_argument("--seed", type=int, default=0, help="another one brings other inputs")
    parser.add_argument("--keep", type=Path, default=Path("fuzz-found"), help="where to keep them")
    parser.add_argument("--scratch", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("names", nargs="*", metavar="READER", help="these alone, and not all")
    options = parser.parse_args()
    if options.scratch is not None:
        return _fuzz(options)
    with tempfile.TemporaryDirectory(prefix="kexecprepd-fuzz.") as scratch:
        inside = (sys.executable, "-m", "tests.fuzz", *sys.argv[1:], f"--scratch={scratch}")
        command = (*_OWN_MOUNTS, "sh", "-c", _MOUNT, scratch, *inside)
        # Temporary files of the readers' own are made there, too.
        environment = {**os.environ, "TMPDIR": scratch}
        return subprocess.run(command, env=environment).returncode


def _fuzz(options: argparse.Namespace) -> int:
    known = readers(options.scratch)
    chosen = {name: known[name] for name in options.names or known}
    _limit()
    failures = 0
    count = 0
    for name, data in _inputs(chosen, options.count, Random(options.seed)):
        count += 1
        problem = _problem(known[name], data)
        if problem is None:
            continue
        failures += 1
        folder = options.keep / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)
        print(f"{name}: {problem}: {data[:60]!r}, of {len(data)} bytes", flush=True)
        if failures == _FAILURES:
            break
    print(f"{count} inputs for {', '.join(chosen)}: {failures} found")
    return 1 if failures else 0


def _limit() -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    now = pages * resource.getpagesize()
    for what, value in {
        resource.RLIMIT_AS: now + _BYTES,
        resource.RLIMIT_FSIZE: _FILE_BYTES,
        resource.RLIMIT_NOFILE: _DESCRIPTORS,
        resource.RLIMIT_CORE: 0,
    }.items():
        resource.setrlimit(what, (value, value))


def _inputs(
    chosen: Mapping[str, Reader], count: int, random: Random
) -> Iterator[tuple[str, bytes]]:
    """The corpus, what is right, and then so many that are damaged."""
    for name, reader in chosen.items():
        kept = [path.read_bytes() for path in sorted((CORPUS / name).glob("*"))]
        yield from ((name, data) for data in (*kept, *reader.seeds))
    names = [name for name, reader in chosen.items() for _ in range(reader.weight)]
    for _ in range(count):
        name = random.choice(names)
        yield name, mutated(chosen[name].seeds, random)


class _StuckError(BaseException):
    """No error that anything but `_problem` takes for its own."""


def _give_up(*_: object) -> None:
    raise _StuckError


def _problem(reader: Reader, data: bytes) -> str | None:
    signal.signal(signal.SIGALRM, _give_up)
    signal.alarm(_WAITS)
    before = time.process_time()
    try:
        reader.read(data)
    except reader.errors as error:
        if "\n" in str(error):
            return "an error of several lines"
    except _StuckError:
        return "it waits"
    except Exception as error:  # noqa: BLE001 # this is what is looked for
        return f"{type(error).__name__}: {error}"
    finally:
        signal.alarm(0)
    took = time.process_time() - before
    return f"it took {took:.1f} s" if took > _SECONDS else None


if __name__ == "__main__":
    sys.exit(main())
