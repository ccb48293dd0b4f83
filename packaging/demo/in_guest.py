# SPDX-License-Identifier: LGPL-2.1-or-later
"""What packaging/run --vm shows: the package at work in a guest on real firmware, and a shell."""

import contextlib
import io
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.lab.environment import accelerated, cache_dir
from tests.lab.guest import Guest, GuestError
from tests.lab.image import Image, get_image, image_key

from . import CHECKOUT, guest_shell
from .stages import StageError, Stopped, counting, run_stage, stop_on_signals
from .story import MANAGER, WIDTH, digest, printed, say, typed

RELEASES = {"bookworm": "Debian 12", "trixie": "Debian 13"}
DIMM_MIB = 512
WATCH_LOG = "/run/watch.log"


def main() -> int:
    """Show it in a guest of the suite that the command line names; the exit status."""
    stop_on_signals()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    try:
        demonstrate(sys.argv[1])
    except (StageError, GuestError, subprocess.CalledProcessError) as error:
        return failed(str(error))
    except BrokenPipeError:
        # Whoever read our output has gone; keep Python from complaining about it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        return failed(str(error))
    except Stopped as stop:
        name = signal.Signals(stop.number).name
        failed(f"stopped by {name}; nothing is left behind.")
        return 128 + stop.number
    return 0


def failed(message: str) -> int:
    """Say why it ends; a console's control characters are left out."""
    plain = "".join(c for c in message if c.isprintable() or c == "\n")
    with contextlib.suppress(OSError):
        print(f"\nrun: {plain}", file=sys.stderr, flush=True)
    return 1


def demonstrate(suite: str) -> None:
    """From the checkout to a shell in a guest."""
    say(introduction(suite))
    print()
    interactive = guest_shell.has_terminal()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kexecprepd-run-")))
        package = build_package(folder)
        image = build_image(suite, folder)
        console = guest_shell.qemu_args(folder) if interactive else []
        with counting(f"Starting the guest{'' if accelerated() else ', about 40 s'} ..."):
            guest = stack.enter_context(Guest(image, qemu_args=console))
        install(guest, package)
        tell(guest)
        if interactive:
            with counting("...", stays=False):
                guest_shell.prepare(guest)
            say(welcome())
            guest_shell.interact(guest, folder)
    if interactive:
        say("The guest has been stopped, and nothing of it is left.")
    else:
        say(
            "That was it. There is no terminal here, so there is no shell in the guest: it\n"
            "has been stopped, and nothing of it is left."
        )


def introduction(suite: str) -> str:
    """What the reader is about to see, and what is left behind."""
    words = (
        f"What follows happens in a guest: {RELEASES[suite]} on real UEFI firmware (OVMF), with\n"
        "the Debian package that is built from this checkout. At the end there is a\n"
        "shell in it, and then it is thrown away."
    )
    if accelerated():
        return words
    return (
        f"{words} It is emulated in software: every\n"
        "command takes seconds, and it is about two minutes to the shell."
    )


def build_package(folder: Path) -> Path:
    """The Debian package, built from this checkout."""
    build = CHECKOUT / "packaging" / "build-deb"
    run_stage(
        "Building the package ...",
        [build, "--output", folder],
        folder,
        failure="The package cannot be built.",
    )
    (package,) = folder.glob("*.deb")
    return package


def build_image(suite: str, folder: Path) -> Image:
    """The guest image; built where the cache has none."""
    if not (cache_dir() / image_key(suite)).is_dir():
        print(
            f"Once, a guest image is built from Debian's packages, and kept in {cache_dir()}\n"
            "for the next time and for the tests. It needs the network and about 1 GB there."
        )
        run_stage(
            "Building the image, about 2 minutes ...",
            [sys.executable, "-m", "demo.guest_image", suite],
            folder,
            failure="The guest image cannot be built: is a Debian mirror within reach?",
        )
    return get_image(suite)


def show(guest: Guest, command: str, *, width: int | None = None, timeout: float = 120) -> str:
    """Run a command in the guest, and print it with its output; lines cut at `width`."""
    typed("#", command)
    with counting("...", stays=False):
        done = guest.run(["sh", "-c", command], check=False, timeout=timeout)
    printed(done.stdout + done.stderr, width=width)
    if done.returncode:
        raise StageError(f"the command ended with {done.returncode}: the words above say why.")
    return done.stdout


def install(guest: Guest, package: Path) -> None:
    """Install the package as on any machine."""
    path = f"/tmp/{package.name}"
    guest.write_file(path, package.read_bytes())
    say("The guest is up. The package is installed as on any Debian, and its service starts:")
    show(guest, f"dpkg -i {path}", timeout=300)
    show(guest, "systemctl status --lines=2 kexecprepd", width=WIDTH)


def tell(guest: Guest) -> None:
    """The chapters, one after the other."""
    say("Will EFI survive a kexec here? Everyone may ask that; root is told more.")
    show(guest, "kexecprepctl status")
    show(guest, "kexecprepctl check")

    say("A loader, as root, gets the bytes and what goes with them in one call:")
    show(guest, f"busctl call {MANAGER} GetSetupData", width=WIDTH)

    say("They are the bytes that the daemon vouches for, and that it keeps for late shutdown:")
    reply = show(guest, f"busctl --json=short call {MANAGER} GetSetupData", width=WIDTH)
    digest(reply)
    show(guest, f"busctl get-property {MANAGER} Sha256 RegionCount")
    show(guest, "sha256sum /run/kexecprepd/setup_data")

    say(
        "The firmware's regions beside the memory map. Nothing may be placed over the\n"
        "boot-services ones, though they lie in System RAM: firmware tables are in them."
    )
    show(guest, "kexecprepctl map")
    show(guest, "kexecprepctl findings")

    say(
        f"Now a DIMM of {DIMM_MIB} MiB is plugged into the machine, and all who watch are told.\n"
        "The memory map grows; the image stays as it is, as the firmware's regions do:"
    )
    plug_memory(guest)
    show(guest, f"kexecprepctl map | grep {DIMM_MIB}M")


def plug_memory(guest: Guest) -> None:
    """Plug a DIMM in under the eyes of `kexecprepctl watch`."""
    typed("#", "kexecprepctl watch &")
    watch = guest.start(["sh", "-c", f"exec kexecprepctl watch >{WATCH_LOG} 2>&1"])
    print(watched(guest, 1), flush=True)
    guest.hot_add_memory(DIMM_MIB)
    print("(the DIMM is plugged in)", flush=True)
    print(watched(guest, 2), flush=True)
    watch.signal("TERM")
    watch.wait(30)
    guest.run(["rm", WATCH_LOG])


def watched(guest: Guest, number: int) -> str:
    """The line of that number that `kexecprepctl watch` prints, once it is there."""
    end = time.monotonic() + 300
    while time.monotonic() < end:
        lines = guest.run(["cat", WATCH_LOG], check=False).stdout.splitlines(keepends=True)
        if len(lines) >= number and lines[number - 1].endswith("\n"):
            return lines[number - 1].rstrip()
        time.sleep(0.2)
    raise GuestError(f"kexecprepctl watch did not print its line {number} in 300 s")


def welcome() -> str:
    """What to try in the shell, and how to leave it."""
    return """The guest is yours now: a root shell in it. Worth trying:

    man kexecprepctl
    busctl introspect org.kexecprepd1 /org/kexecprepd1
    kexecprepctl load /boot/vmlinuz-* --initrd /boot/initrd* --reuse-cmdline
    kexecprepctl exec

The last two start another kernel. The shell comes back with it, and kexecprepctl
status shows the digest of before: EFI has survived.

To leave: exit, Ctrl-D, or Ctrl-] at any time."""


if __name__ == "__main__":
    sys.exit(main())
