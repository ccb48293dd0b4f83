# SPDX-License-Identifier: LGPL-2.1-or-later
"""A Debian guest on real firmware: start it, run commands in it, plug memory into it."""

from __future__ import annotations

import io
import shutil
import socket
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

from .channel import Agent, Channel, Deadline, GuestError, Qmp
from .environment import accelerator
from .firmware import OVMF, Firmware
from .image import Image
from .process import CommandError, GuestProcess, tail

__all__ = ["CommandError", "Guest", "GuestError"]

# What every start has: the root, the console in the log, a panic that ends QEMU instead of leaving
# the test to its time limit, no panic because a host with much to do is late with ten ticks
# ("IO-APIC + timer doesn't work!"), and nothing against attacks on processors: an emulated one
# speculates about nothing, and what is done against it is a sixth of all that it does. Programs lie
# at the same addresses each time, as QEMU translates code anew for each address that it has: a
# fifth of a kexec. On a host with more to do than it has processors a service took longer than
# systemd's 90 s to start, and was started again: no fault of its own.
COMMAND_LINE = (
    "root=/dev/vda rw console=ttyS0 loglevel=4 panic=-1 no_timer_check mitigations=off norandmaps "
    "systemd.default_timeout_start_sec=600"
)

DEFAULTS = "mitigations=auto sysctl.kernel.randomize_va_space=2"
"""Appended, it takes `mitigations` and `norandmaps` back, as kernels elsewhere are without them."""

# QEMU's own model, and two things that processors have had for ten years: a kernel that need not
# write a model specific register to go from one program to another, and maps its memory by the
# gigabyte, has 3 % less to do.
CPU = "qemu64,+fsgsbase,+pdpe1gb"

_AGENT_CHANGED = "VSERPORT_CHANGE"
"""QEMU's event for a port that was opened or closed in the guest: there is but the agent's."""

_LONGEST_PAUSE = 10.0
"""Seconds between two looks at an agent that has not gone."""


class Guest:
    """A running virtual machine; a context manager that always stops its QEMU."""

    def __init__(
        self,
        image: Image,
        *,
        firmware: Firmware = OVMF,
        disk: Path | None = None,
        append: str = "",
        qemu_args: Sequence[str] = (),
        memory: str = "1G",
        smp: int = 1,
        log: Path | None = None,
        timeout: float = 900,
    ) -> None:
        """Describe the machine; entering the context starts it.

        disk is one that `power_off` has kept, in place of the image's own; log is where to leave
        the console's output, for what is not to go with the machine. One processor is the rule:
        where QEMU emulates them, a kernel that changes its own code while another processor runs
        it dies of it now and then ("Oops: int3" in the first seconds).
        """
        self.image = image
        self.firmware = firmware
        self.console = Path()
        self._base = disk
        self._append = append
        self._qemu_args = list(qemu_args)
        self._memory = memory
        self._smp = smp
        self._log = log
        self._timeout = timeout
        self._dimms = 0
        self._stack = ExitStack()
        self._work = Path()

    def __enter__(self) -> Guest:
        """Start the machine, and wait until it is up."""
        with ExitStack() as stack:
            work = stack.enter_context(tempfile.TemporaryDirectory(prefix="kexecprepd-vm-"))
            self._work = Path(work)
            self.console = self._log or self._work / "console.log"
            self.console.unlink(missing_ok=True)
            try:
                self._start(stack)
            except GuestError as error:
                raise GuestError(f"{error}\n{self._logs()}") from error
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop the machine."""
        self._stack.close()

    @property
    def _disk(self) -> Path:
        return self._work / "disk.qcow2"

    def _make_disk(self) -> None:
        base, kind = (self.image.disk, "raw") if self._base is None else (self._base, "qcow2")
        command = ["qemu-img", "create", "-q", "-f", "qcow2", "-b", str(base), "-F", kind]
        done = subprocess.run([*command, str(self._disk)], capture_output=True, text=True)
        if done.returncode != 0:
            raise GuestError(f"the guest's disk cannot be made: {done.stderr.strip()}")

    def _start(self, stack: ExitStack) -> None:
        deadline = Deadline(self._timeout)
        self._make_disk()
        pairs = [socket.socketpair() for _ in range(2)]
        with ExitStack() as theirs:
            for ours, end in pairs:
                stack.callback(ours.close)
                theirs.callback(end.close)
            numbers = [end.fileno() for _, end in pairs]
            messages = theirs.enter_context((self._work / "qemu.log").open("wb"))
            # QEMU must not outlive the tests, however they end.
            self._qemu = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *self._command(*numbers)],
                stdin=subprocess.DEVNULL,
                stdout=messages,
                stderr=messages,
                pass_fds=numbers,
            )
        stack.callback(_stop, self._qemu)
        monitor, agent = (Channel(ours) for ours, _ in pairs)
        self._qmp, self._agent = Qmp(monitor), Agent(agent)
        self._qmp.greet(deadline)
        self._agent.synchronise(deadline.left())
        state = self.wait_running(deadline.left())
        if state != "running":
            failed = self.run(["systemctl", "--failed", "--plain", "--no-legend"]).stdout
            raise GuestError(f"the guest is {state}, not running: {failed.strip()}")

    def _command(self, qmp: int, agent: int) -> list[str]:
        machine = "q35"
        flash: list[str] = []
        if self.firmware.code is not None and self.firmware.variables is not None:
            if not self.firmware.code.exists():
                raise GuestError(
                    f"{self.firmware.code} is missing: install {self.firmware.package}"
                )
            variables = self._work / "variables.fd"
            shutil.copyfile(self.firmware.variables, variables)
            flash = [
                *("-drive", f"if=pflash,format=raw,readonly=on,file={self.firmware.code}"),
                *("-drive", f"if=pflash,format=raw,file={variables}"),
            ]
        if self.firmware.secure:
            machine += ",smm=on"
            flash += ["-global", "driver=cfi.pflash01,property=secure,value=on"]
        return [
            *("qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none"),
            *("-machine", machine, "-accel", accelerator(), "-cpu", CPU),
            *("-smp", str(self._smp), "-m", f"{self._memory},slots=8,maxmem=8G", "-no-reboot"),
            *flash,
            *("-kernel", str(self.image.kernel), "-initrd", str(self.image.initrd)),
            *("-append", f"{COMMAND_LINE} {self._append}".strip()),
            *("-drive", f"if=virtio,format=qcow2,cache=unsafe,file={self._disk}"),
            *("-device", "virtio-rng-pci"),
            *("-serial", f"file:{self.console}"),
            *("-chardev", f"socket,id=qmp,fd={qmp}", "-mon", "chardev=qmp,mode=control"),
            *("-chardev", f"socket,id=agent,fd={agent}", "-device", "virtio-serial-pci"),
            *("-device", "virtserialport,id=agent,chardev=agent,name=org.qemu.guest_agent.0"),
            *self._qemu_args,
        ]

    def _logs(self) -> str:
        parts = []
        for path in (self._work / "qemu.log", self.console):
            text = tail(path.read_bytes()) if path.exists() else "(none)\n"
            parts.append(f"The end of {path.name}:\n{text}")
        return "".join(parts)

    def wait_running(self, timeout: float) -> str:
        """Wait until the guest's boot has finished and return the state systemd gives it."""
        waiting = ["systemctl", "is-system-running", "--wait"]
        return self.run(waiting, check=False, timeout=timeout).stdout.strip()

    def start(
        self, argv: Sequence[str], *, user: str | None = None, input: bytes | None = None
    ) -> GuestProcess:
        """Start a command and do not wait for it."""
        if user is not None:
            switch = ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups"]
            argv = [*switch, "--reset-env", "--", *argv]
        return GuestProcess(self._agent, argv, input)

    def run_bytes(
        self,
        argv: Sequence[str],
        *,
        user: str | None = None,
        input: bytes | None = None,
        check: bool = True,
        timeout: float = 180,
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a command as root, or as a user, and return its status and output."""
        done = self.start(argv, user=user, input=input).wait(timeout)
        if check and done.returncode != 0:
            raise CommandError(done)
        return done

    def run(
        self,
        argv: Sequence[str],
        *,
        user: str | None = None,
        input: str | None = None,
        check: bool = True,
        timeout: float = 180,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command as run_bytes does, with text in and out."""
        data = None if input is None else input.encode()
        done = self.run_bytes(argv, user=user, input=data, check=check, timeout=timeout)
        out, err = (part.decode(errors="backslashreplace") for part in (done.stdout, done.stderr))
        return subprocess.CompletedProcess(done.args, done.returncode, out, err)

    def read_file(self, path: str) -> bytes:
        """Return a file of the guest, sysfs's included."""
        return self.run_bytes(["cat", path]).stdout

    def write_file(self, path: str, content: bytes, mode: int = 0o644) -> None:
        """Write a file in the guest, making the directories above it."""
        member = tarfile.TarInfo(path.lstrip("/"))
        member.size, member.mode, member.mtime = len(content), mode, time.time()
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            tar.addfile(member, io.BytesIO(content))
        command = ["tar", "-x", "--same-permissions", "-C", "/"]
        self.run_bytes(command, input=archive.getvalue(), timeout=120)

    def power_off(self, keep: Path, timeout: float = 600) -> None:
        """Shut down in order, and keep the disk: another Guest may start from it."""
        self.end(["systemctl", "poweroff"], timeout)
        shutil.move(self._disk, keep)

    def end(self, argv: Sequence[str], timeout: float = 600) -> None:
        """Run a command after which the machine switches itself off, and wait until it has."""
        self.start(argv)
        try:
            self._qemu.wait(timeout)
        except subprocess.TimeoutExpired as error:
            raise GuestError(f"the guest did not shut down within {timeout:g} s") from error

    def reboot(self, argv: Sequence[str], timeout: float = 900) -> str:
        """Run a command that starts another kernel, wait until that is up, return its state.

        QEMU tells when an agent goes and comes. Asking one takes the processor from what is waited
        for: that is done when one has come, and else seldom, for a command that fails.
        """
        deadline = Deadline(timeout)
        before = self._boot_id()
        self._qmp.forget(_AGENT_CHANGED)
        command = self.start(argv)
        there, pause = True, 1.0
        while not deadline.passed():
            change = self._qmp.next_event(_AGENT_CHANGED, min(pause, deadline.left()))
            there = there if change is None else change["open"]
            if not there:
                continue
            pause = min(2 * pause, _LONGEST_PAUSE)
            self._agent.synchronise(deadline.left())
            try:
                if self._boot_id() != before:
                    return self.wait_running(deadline.left())
                done = command.poll()
            except GuestError:
                # The old kernel took its agent down between two answers.
                continue
            if done is not None and done.returncode != 0:
                raise CommandError(done)
        raise GuestError(f"{list(argv)} started no other kernel within {timeout:g} s")

    def _boot_id(self) -> bytes:
        return self.read_file("/proc/sys/kernel/random/boot_id")

    def qmp(self, command: str, /, **arguments: Any) -> Any:
        """Run a command of QEMU's monitor."""
        return self._qmp.execute(command, **arguments)

    def screendump(self, picture: Path) -> None:
        """Leave a picture of the screen: a PNG where the name ends in .png, else a PPM.

        Raises GuestError where the machine has no graphics card: `-vga std` in qemu_args is one.
        """
        kind = "png" if picture.suffix == ".png" else "ppm"
        self.qmp("screendump", filename=str(picture.absolute()), format=kind)

    def make_new_memory_removable(self) -> None:
        """Have the kernel use DIMMs plugged in from now on so that it can let go of them again.

        (Documentation/admin-guide/mm/memory-hotplug.rst: online_movable)
        """
        policy = "/sys/devices/system/memory/auto_online_blocks"
        self.run(["tee", policy], input="online_movable\n")

    def hot_add_memory(self, mib: int) -> str:
        """Plug in a DIMM and return its name; the guest's kernel finds it a moment later."""
        name = f"dimm{self._dimms}"
        self._dimms += 1
        backend = {"qom-type": "memory-backend-ram", "id": f"{name}-ram", "size": mib << 20}
        self.qmp("object-add", **backend)
        self.qmp("device_add", driver="pc-dimm", id=name, memdev=f"{name}-ram")
        return name

    def hot_remove_memory(self, name: str, timeout: float = 180) -> None:
        """Take a DIMM out again and wait until the guest has let go of it.

        Raises GuestError when it has not by the timeout, in seconds: see make_new_memory_removable.
        """
        self.qmp("device_del", id=name)
        self._qmp.wait_event("DEVICE_DELETED", timeout, lambda data: data.get("device") == name)
        self.qmp("object-del", id=f"{name}-ram")


def _stop(process: subprocess.Popen[bytes]) -> None:
    # The disk is thrown away: there is nothing to shut down in order.
    process.kill()
    process.wait()
