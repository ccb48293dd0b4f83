# SPDX-License-Identifier: LGPL-2.1-or-later
"""Machines that worked are not refused: what exactly is said of each recording and each machine."""

from pathlib import Path

import pytest

from kexecprepd.core.finding import State
from kexecprepd.core.snapshot import Snapshot
from kexecprepd.core.verdict import assess
from tests.support.recordings import (
    DATA,
    FIRST_KERNEL,
    FIRST_KERNEL_1G,
    MACHINES,
    add_region,
    machine,
)
from tests.support.snapshots import published, read_snapshot, recorded

RUNTIME = 1 << 63

Said = tuple[State, set[tuple[str, str]]]

READY: Said = (State.READY, set())
KEPT: Said = (State.READY, {("info", "boot-services-kept")})
DEBUG: Said = (State.READY, {("info", "boot-services-kept"), ("info", "region-without-runtime")})
MIXED: Said = (State.UNSUPPORTED, {("info", "firmware-32-bit")})
NO_CODE: Said = (State.DEGRADED, {("warning", "runtime-code-unlisted")})
"""Of these machines the MMIO regions alone are known, and one of data was made up."""

EXCERPT: Said = (
    State.DEGRADED,
    {("warning", code) for code in ("table-outside-regions", "memmap-missing")} | NO_CODE[1],
)
"""The published part has no region of runtime data, so the tables were put elsewhere."""

RECORDINGS: dict[str, Said] = {
    "deb12-6.1-aavmf-arm64": (State.UNSUPPORTED, {("info", "other-architecture")}),
    "deb12-6.1-ovmf-q35-1g": KEPT,
    "deb12-6.1-ovmf-q35-6g": KEPT,
    "deb12-6.1-ovmf-q35-bgrt": KEPT,
    "deb12-6.1-ovmf-q35-bgrt-kexec-file": KEPT,
    "deb12-6.1-ovmf-q35-efidebug": DEBUG,
    "deb12-6.1-ovmf-q35-kexec-file": KEPT,
    "deb12-6.1-ovmf-q35-kexec-syscall": KEPT,
    "deb12-6.1-ovmf-q35-noruntime": (State.UNSUPPORTED, {("info", "runtime-services-off")}),
    "deb12-6.1-ovmf32-mixed": MIXED,
}

PUBLISHED: dict[str, Said] = {
    "acer-aspire-v3-571g": READY,
    "ami-desktop-efi200": READY,
    # Its boot loader calls runtime code unusable memory.
    "apple-macbookpro-2gb-efi110": (State.DEGRADED, {("warning", "region-misplaced")}),
    "asus-n56vz": READY,
    "asus-ux32vd": READY,
    "asus-ux391fa-first-kernel": KEPT,
    "dell-inspiron-7520": READY,
    "dell-latitude-e7240": READY,
    "fujitsu-amd-phoenix-efi200": READY,
    "hp-2000-notebook": READY,
    "hp-stream-13": READY,
    "intel-brickland-4s": KEPT,
    "lenovo-g50-45-insyde": READY,
    "lenovo-g505s-insyde": READY,
    "lenovo-thinkserver-td340": READY,
    "lenovo-twist-s230u": READY,
    "lenovo-x240": READY,
    "partial-lenovo-ideapad3-15iil05-mmio1708mb": EXCERPT,
    "partial-lenovo-t440s-kdump-bgrt": EXCERPT,
    "partial-lenovo-x1carbon2-mmio-noattr": EXCERPT,
    "qemu-ovmf-mixed-mode-ia32": MIXED,
    "toshiba-satellite-c70d-b": READY,
    "virtualbox-fedora14": READY,
    **{name: NO_CODE for name in MACHINES if name.startswith(("mmio-", "sd-mmio-"))},
}

WITH_EFI_DEBUG: dict[str, Said] = {
    "asus-ux391fa-first-kernel": DEBUG,
    "intel-brickland-4s": DEBUG,
    "qemu-ovmf-mixed-mode-ia32": MIXED,
}

NEGATIVE = ("neg-lenovo-20bg-zero-descriptors", "neg-lenovo-l440-zero-descriptors")


def said_of(snapshot: Snapshot) -> Said:
    """The state of a machine, and the severity and code of what was found."""
    assessment = assess(snapshot)
    found = {(str(finding.severity), finding.code) for finding in assessment.findings}
    assert (assessment.image is not None) is assessment.state.has_image
    return assessment.state, found


def test_every_recording_and_every_machine_is_written_down() -> None:
    assert sorted(RECORDINGS) == sorted(path.stem for path in (DATA / "recordings").glob("*.json"))
    assert sorted((*PUBLISHED, *NEGATIVE)) == sorted(MACHINES)
    debug = {name for name in MACHINES if "runtime_map_efi_debug" in machine(name)}
    assert sorted(WITH_EFI_DEBUG) == sorted(debug)


@pytest.mark.parametrize("name", RECORDINGS)
def test_what_is_said_of_a_recording(name: str) -> None:
    assert said_of(recorded(name)) == RECORDINGS[name]


@pytest.mark.parametrize("name", RECORDINGS)
def test_a_recording_without_its_command_line_is_not_refused(name: str) -> None:
    state, _ = said_of(recorded(name, cmdline=False))

    assert state is RECORDINGS[name][0]


@pytest.mark.parametrize("name", PUBLISHED)
def test_what_is_said_of_a_machine(name: str) -> None:
    assert said_of(published(name)) == PUBLISHED[name]


@pytest.mark.parametrize("name", WITH_EFI_DEBUG)
def test_what_is_said_of_a_machine_with_efi_debug(name: str) -> None:
    assert said_of(published(name, efi_debug=True)) == WITH_EFI_DEBUG[name]


@pytest.mark.parametrize("name", [FIRST_KERNEL, FIRST_KERNEL_1G])
def test_plain_ovmf_is_ready_without_a_warning(name: str) -> None:
    state, found = said_of(recorded(name))

    assert state is State.READY
    assert {severity for severity, _ in found} <= {"info"}


@pytest.mark.parametrize("name", PUBLISHED)
def test_nothing_published_is_refused(name: str) -> None:
    state, found = said_of(published(name))

    assert state is not State.INVALID
    assert "error" not in {severity for severity, _ in found}


@pytest.mark.parametrize("name", NEGATIVE)
@pytest.mark.parametrize("attribute", [0, RUNTIME])
def test_an_all_zero_descriptor_is_refused(name: str, attribute: int, tree: Path) -> None:
    zero = machine(name)["invalid_descriptors"][0]
    add_region(
        tree,
        type=zero["type"],
        phys_addr=int(zero["phys_addr"], 16),
        virt_addr=0,
        num_pages=zero["num_pages"],
        attribute=int(zero["attribute"], 16) | attribute,
    )

    state, found = said_of(read_snapshot(tree))

    assert state is State.INVALID
    assert ("error", "region-empty") in found
