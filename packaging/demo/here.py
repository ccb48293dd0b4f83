# SPDX-License-Identifier: LGPL-2.1-or-later
"""What packaging/run shows: the daemon at work on a bus of its own, and what loaders get."""

import contextlib
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.support.daemon import running
from tests.support.private_bus import private_bus
from tests.support.recordings import add_range, materialise

from . import CHECKOUT
from .story import MANAGER, WIDTH, digest, printed, say, typed

RECORDING = "deb12-6.1-ovmf-q35-bgrt"
CTL = "/usr/bin/python3 -m kexecprepd.ctl"


def show(
    command: str, environment: dict[str, str], *, width: int | None = None, answers: bool = False
) -> str:
    """Run a command as a user would, and print it with its output; lines cut at `width`. With
    `answers` its exit code is an answer, too, and is printed unless it is 0.
    """
    typed("$", command.replace(CTL, "kexecprepctl"))
    done = subprocess.run(
        command, shell=True, env=environment, cwd=CHECKOUT, stdout=subprocess.PIPE, text=True
    )
    printed(done.stdout, width=width)
    if answers and done.returncode:
        print(f"-> It ended with {done.returncode}.", flush=True)
    elif done.returncode:
        raise SystemExit(f"The command ended with {done.returncode}: the words above say why.")
    return done.stdout


@contextlib.contextmanager
def watching(environment: dict[str, str]) -> Iterator["subprocess.Popen[str]"]:
    """`kexecprepctl watch`, once it is listening."""
    command = [*CTL.split(), "watch"]
    with subprocess.Popen(
        command,
        env=environment,
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stderr is not None
            typed("$", "kexecprepctl watch &")
            print(process.stderr.readline(), end="", flush=True)
            yield process
        finally:
            process.terminate()


def real_machine() -> bool:
    """Whether this machine has a runtime map of its own."""
    return Path("/sys/firmware/efi/runtime-map").is_dir()


def tree(top: Path) -> Path:
    """The root that the daemon gets: the machine's own sysfs, or a recording of one."""
    if not real_machine():
        return materialise(RECORDING, top)
    top.mkdir()
    for name in ("sys", "proc"):
        (top / name).symlink_to(f"/{name}")
    return top


def introduction() -> str:
    """What the reader is about to see, and what is left behind."""
    if real_machine():
        return (
            "This machine has EFI, and its kernel shows a runtime map: what follows is real.\n"
            "The daemon runs from this checkout, on a bus of its own and with its cache in a\n"
            "temporary folder. Nothing but Debian's packages is installed; it ends with this."
        )
    return (
        "This machine has no EFI runtime map, so the daemon reads a recorded one: the sysfs of a\n"
        "Debian 12 guest under OVMF with a graphics card. It runs from this checkout, on a bus of\n"
        "its own; nothing but Debian's packages is installed."
    )


def closing() -> str:
    """What has been stopped, and what is next where none of it was real."""
    words = "That was it; the daemon and its bus have been stopped."
    if real_machine():
        return words
    return (
        f"{words} To see it on real firmware, with\n"
        "its package installed and its service running: packaging/run --vm boots a guest."
    )


def main() -> None:
    """Tell the story from sysfs to a loader's hands."""
    say(introduction())
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kexecprepd-run-")))
        bus = stack.enter_context(private_bus(folder))
        root = tree(folder / "root")
        stack.enter_context(running(folder, root, bus.environment))
        tell(bus.environment, root)
    say(closing())


def tell(environment: dict[str, str], root: Path) -> None:
    """The chapters, one after the other."""
    say("Will EFI survive a kexec here? Everyone may ask that.")
    show(f"{CTL} status", environment)

    say("The whole answer, with what this system allows; its exit code is the answer in short:")
    where = "" if real_machine() else f" --root {root}"
    show(f"{CTL} check{where}", environment, answers=True)

    say("A loader, as root, gets the bytes and what goes with them in one call:")
    show(f"busctl call {MANAGER} GetSetupData", environment, width=WIDTH)

    say("They are the bytes that the daemon vouches for, and can be placed as they are:")
    reply = show(f"busctl --json=short call {MANAGER} GetSetupData", environment, width=WIDTH)
    digest(reply)
    show(f"busctl get-property {MANAGER} Sha256 RegionCount", environment)

    say(
        "The firmware's regions beside the memory map. Nothing may be placed over the\n"
        "boot-services ones, though they lie in System RAM: firmware tables are in them."
    )
    show(f"{CTL} map", environment)

    if real_machine():
        say("Memory that is plugged in would now be told to all who watch: kexecprepctl watch.")
        return
    say("Now 1 GiB of memory is plugged into the recorded machine, and MapChanged arrives:")
    with watching(environment) as watch:
        add_range(root, 0x1_0000_0000, 0x1_3FFF_FFFF, "System RAM")
        show(f"busctl call {MANAGER} Refresh", environment)
        assert watch.stdout is not None
        print(f"\nfrom watch: {watch.stdout.readline()}", end="", flush=True)


if __name__ == "__main__":
    os.environ.setdefault("SYSTEMD_PAGER", "")
    main()
