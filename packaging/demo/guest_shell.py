# SPDX-License-Identifier: LGPL-2.1-or-later
"""A shell in the guest on the reader's own terminal, by way of a console that QEMU gives it."""

import contextlib
import os
import select
import signal
import socket
import sys
import termios
import tty
from collections.abc import Iterator
from pathlib import Path

from tests.lab.guest import Guest

ESCAPE = b"\x1d"  # Ctrl-]

_IN, _OUT = 0, 1
_UNIT = "terminal-shell.service"
_SIZE_PORT = "terminal.size"
_FALLBACK = os.terminal_size((80, 24))
# So much typing ahead a guest that does not read has time for, as a terminal's own line has.
_AHEAD = 1 << 16
# What a program that is left in its midst has changed: screen, paste mode, cursor and colours.
_TIDY = b"\x1b[?1047l\x1b[?2004l\x1b[?25h\x1b[m\r\n"


def has_terminal() -> bool:
    """Whether there is somebody to type in a shell."""
    return os.isatty(_IN) and os.isatty(_OUT)


def qemu_args(folder: Path) -> list[str]:
    """What makes the console, and a line that carries the window's size; sockets in `folder`."""
    return [
        *("-chardev", f"socket,id=terminal,path={folder}/terminal,server=on,wait=off"),
        *("-device", "virtconsole,chardev=terminal"),
        *("-chardev", f"socket,id=size,path={folder}/size,server=on,wait=off"),
        *("-device", f"virtserialport,chardev=size,name={_SIZE_PORT}"),
    ]


def prepare(guest: Guest) -> None:
    """Make the shell known to the guest's systemd: it takes a while, and interact none."""
    unit = _unit(_terminal_type(guest))
    guest.write_file(f"/etc/systemd/system/{_UNIT}", unit.encode())
    guest.run(["systemctl", "enable", "--quiet", _UNIT])


def interact(guest: Guest, folder: Path) -> None:
    """Give the terminal to the shell, until that ends, or the guest, or Ctrl-] is typed."""
    with contextlib.ExitStack() as stack:
        line, size = (stack.enter_context(_connected(folder / n)) for n in ("terminal", "size"))
        changes = stack.enter_context(_window_changes())
        stack.enter_context(_raw())
        guest.run(["systemctl", "start", _UNIT])
        _relay(line, size, changes)


def _unit(terminal_type: str) -> str:
    # Enabled, not transient: so the shell comes back with a kernel that is started by kexec. When
    # it is left, the machine ends, and so does QEMU: that is how we get to know.
    columns, rows = _window()
    script = (
        f'while read r c; do stty -F /dev/hvc0 rows "$$r" cols "$$c"; done '
        f"</dev/virtio-ports/{_SIZE_PORT} & "
        "echo; /bin/bash -l; exec systemctl poweroff -ff 2>/dev/null"
    )
    words = "The next kernel starts, and a shell in it: in a minute, if it is emulated."
    return f"""[Unit]
Description=Shell on the Terminal Outside
BindsTo=dev-hvc0.device
After=dev-hvc0.device kexecprepd.service

[Service]
ExecStart=/bin/sh -c '{script}'
ExecStopPost=/bin/sh -c 'if grep -q 1 /sys/kernel/kexec_loaded; then echo; echo "{words}"; fi'
User=root
WorkingDirectory=~
Environment=TERM={terminal_type} LANG=C.UTF-8
StandardInput=tty
TTYPath=/dev/hvc0
TTYReset=yes
TTYRows={rows}
TTYColumns={columns}
IgnoreSIGPIPE=no
SendSIGHUP=yes

[Install]
WantedBy=multi-user.target
"""


def _terminal_type(guest: Guest) -> str:
    wanted = os.environ.get("TERM", "")
    known = guest.run(["infocmp", "--", wanted], check=False).returncode == 0
    return wanted if wanted and known else "xterm-256color"


def _window() -> os.terminal_size:
    size = os.get_terminal_size(_OUT)
    return size if all(size) else _FALLBACK


@contextlib.contextmanager
def _connected(path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as end:
        end.connect(str(path))
        end.setblocking(False)  # noqa: FBT003
        yield end


@contextlib.contextmanager
def _raw() -> Iterator[None]:
    """The terminal without a will of its own: every key goes to the guest."""
    before = termios.tcgetattr(_IN)
    try:
        tty.setraw(_IN)
        yield
    finally:
        # The terminal may be gone: then there is nothing to put back.
        with contextlib.suppress(termios.error):
            termios.tcsetattr(_IN, termios.TCSAFLUSH, before)


@contextlib.contextmanager
def _window_changes() -> Iterator[socket.socket]:
    """A socket that is readable after the window's size has changed."""
    theirs, ours = socket.socketpair()
    with theirs, ours:
        theirs.setblocking(False)  # noqa: FBT003
        signal.signal(signal.SIGWINCH, lambda *_: None)
        signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
        try:
            yield ours
        finally:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGWINCH, signal.SIG_DFL)


def _relay(line: socket.socket, size: socket.socket, changes: socket.socket) -> None:
    pending = b""
    sources: list[int | socket.socket] = [_IN, line, changes]
    while True:
        readable, writable, _ = select.select(sources, [line] if pending else [], [])
        try:
            if changes in readable:
                changes.recv(1 << 10)
                columns, rows = _window()
                # The next one makes up for one that finds no room.
                with contextlib.suppress(BlockingIOError):
                    size.send(f"{rows} {columns}\n".encode())
            if line in readable:
                shown = line.recv(1 << 16)
                if not shown:
                    return
                _write(shown)
            if writable:
                pending = pending[line.send(pending) :]
        except ConnectionError:
            return
        if _IN in readable:
            typed = os.read(_IN, 1 << 12)
            keys, escape, _ = typed.partition(ESCAPE)
            pending = (pending + keys)[:_AHEAD]
            if escape:
                _write(_TIDY)
            if escape or not typed:
                return


def _write(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()
