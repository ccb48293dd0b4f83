# SPDX-License-Identifier: LGPL-2.1-or-later
"""Under Secure Boot the kernel loads by itself what is signed, and says what is not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.lab.environment import console_log
from tests.lab.firmware import OVMF_SNAKEOIL
from tests.lab.guest import COMMAND_LINE, Guest
from tests.lab.image import get_image
from tests.lab.secure_boot import sign
from tests.support.kernels import uki

from .partition import TOP, make_partition, mount
from .project import Installations
from .service import properties

pytestmark = pytest.mark.vm

SUITE = "trixie"
KERNEL = (f"{TOP}/signed", "--initrd", f"{TOP}/initrd", "--reuse-cmdline")


@pytest.fixture(scope="module")
def machine(
    installations: Installations, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Guest]:
    """A guest whose firmware starts what is signed with its key alone."""
    folder, image = tmp_path_factory.mktemp("secure"), get_image(SUITE)
    sign(image.kernel, folder / "signed")
    signed, initrd = (folder / "signed").read_bytes(), image.initrd.read_bytes()
    line = f"{COMMAND_LINE} from=uki".encode()
    files = {
        "signed": signed,
        "of-debian": image.kernel.read_bytes(),
        "initrd": initrd,
        "linux.efi": uki((".linux", signed), (".initrd", initrd), (".cmdline", line)),
    }
    disk = make_partition(folder / "esp", files)
    with Guest(
        replace(image, kernel=folder / "signed"),
        firmware=OVMF_SNAKEOIL,
        disk=installations.of(SUITE).disk,
        qemu_args=disk,
        memory="1536M",
        log=console_log("secure-boot"),
    ) as guest:
        mount(guest)
        yield guest


def kernel_loaded(guest: Guest) -> bool:
    return guest.read_file("/sys/kernel/kexec_loaded") == b"1\n"


def test_kexec_load_is_refused_beforehand(machine: Guest) -> None:
    assert b"[integrity]" in machine.read_file("/sys/kernel/security/lockdown")
    done = machine.run(["kexecprepctl", "load", "--syscall=load", *KERNEL], check=False)
    assert (done.returncode, "locked down" in done.stderr) == (1, True)


def test_a_signed_kernel_is_loaded_by_the_kernel_itself_and_unloaded(machine: Guest) -> None:
    said = machine.run(["kexecprepctl", "load", *KERNEL], timeout=900).stdout
    assert "by kexec_file_load(2); EFI is handed over by the kernel itself" in said
    assert kernel_loaded(machine)
    machine.run(["kexecprepctl", "unload"])
    assert not kernel_loaded(machine)

    initrd = f"--initrd={TOP}/initrd"
    machine.run(["kexec", "-s", "-l", f"{TOP}/signed", initrd, "--reuse-cmdline"], timeout=900)
    assert kernel_loaded(machine)
    machine.run(["kexecprepctl", "unload"])
    assert not kernel_loaded(machine)


def test_another_s_signature_is_refused_in_words(machine: Guest) -> None:
    done = machine.run(["kexecprepctl", "load", f"{TOP}/of-debian"], check=False, timeout=900)

    assert done.returncode == 1
    assert "signed with a key that it does not trust" in done.stderr
    assert ".linux has to be signed itself" in done.stderr
    assert not kernel_loaded(machine)


def test_a_unified_image_starts_by_the_signature_of_its_kernel(machine: Guest) -> None:
    machine.run(["kexecprepctl", "load", f"{TOP}/linux.efi"], timeout=900)
    assert machine.reboot(["kexecprepctl", "exec"]) == "running"

    assert b"from=uki" in machine.read_file("/proc/cmdline")
    assert b"[integrity]" in machine.read_file("/sys/kernel/security/lockdown")
    assert properties(machine)["State"] == "ready"
    assert machine.run(["ls", "/sys/firmware/efi/efivars"]).stdout
