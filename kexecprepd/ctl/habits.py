# SPDX-License-Identifier: LGPL-2.1-or-later
"""Answers in words what people type who know kexec(8), and what is not to be had here."""

import argparse
from collections.abc import Sequence
from typing import Any, NoReturn

_WORDS = {
    ("-l", "--load"): "`kexecprepctl load KERNEL` does what kexec's -l does.",
    ("-s", "-c", "--kexec-file-syscall", "--kexec-syscall"): (
        "--syscall=file or --syscall=load chooses the system call; without it, what is allowed."
    ),
    ("-e",): "`kexecprepctl exec` starts what is loaded, and shuts down before.",
    ("-u",): "`kexecprepctl unload` forgets what is loaded.",
    ("-p", "--load-panic"): (
        "Crash kernels (kdump) are not loaded here: `kexec -p`, or kdump-tools, does that."
    ),
    ("-t", "--type"): (
        "What a file is shows in itself: a bzImage or a unified kernel image for x86-64. Multiboot "
        "kernels are not loaded here: `kexec --type=multiboot-x86` does that."
    ),
    ("--command-line",): "--append gives the command line.",
    ("--ramdisk",): "--initrd names the initrd.",
}
"""What is said for each option of kexec(8) that has another name here, or none."""


def answer(command: argparse.ArgumentParser) -> None:
    """Have a command answer these options, instead of calling them unrecognised."""
    for options, words in _WORDS.items():
        command.add_argument(
            *options, action=_Answer, nargs="?", help=argparse.SUPPRESS, const=words
        )


class _Answer(argparse.Action):
    def __call__(
        self,
        parser: argparse.ArgumentParser,
        _namespace: argparse.Namespace,
        _values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> NoReturn:
        parser.error(f"{option_string}: {self.const}")
