# SPDX-License-Identifier: LGPL-2.1-or-later
"""What people type who know kexec(8) is answered in words."""

import pytest

from kexecprepd.ctl.__main__ import main


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-l", "vmlinuz"], "`kexecprepctl load KERNEL`"),
        (["load", "-l", "vmlinuz"], "`kexecprepctl load KERNEL`"),
        (["load", "-s", "vmlinuz"], "--syscall=file"),
        (["-e"], "`kexecprepctl exec`"),
        (["-u"], "`kexecprepctl unload`"),
        (["load", "-p", "vmlinuz"], "Crash kernels (kdump) are not loaded here"),
        (["load", "--load-panic", "vmlinuz"], "Crash kernels (kdump) are not loaded here"),
        (["load", "--type=multiboot-x86", "xen"], "Multiboot kernels are not loaded here"),
        (["load", "-t", "bzImage", "vmlinuz"], "a bzImage or a unified kernel image"),
        (["load", "vmlinuz", "--command-line=quiet"], "--append gives the command line"),
        (["load", "vmlinuz", "--command-line", "quiet"], "--append gives the command line"),
        (["load", "vmlinuz", "--ramdisk=initrd"], "--initrd names the initrd"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_an_option_of_kexec_is_answered_in_words(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)

    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert words in said
    assert "unrecognized" not in said


def test_they_are_not_offered_as_options(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["load", "--help"])

    assert "--load-panic" not in capsys.readouterr().out
