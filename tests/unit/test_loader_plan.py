# SPDX-License-Identifier: LGPL-2.1-or-later
"""A whole plan, read as the next kernel will read it: from the entry on, by addresses alone."""

import struct
from dataclasses import replace
from itertools import pairwise

import pytest

from kexecprepd.core.image import compose, efi_info
from kexecprepd.core.placement import Placer, excluded_ranges
from kexecprepd.core.snapshot import Snapshot
from kexecprepd.loader.bzimage import BzImage
from kexecprepd.loader.errors import LoadError
from kexecprepd.loader.memory import usable
from kexecprepd.loader.plan import Handed, Machine, Plan, draft, finish
from tests.support.kernels import MIB, free, kernel, memory_map
from tests.support.plans import nodes_of, params_of, read
from tests.support.recordings import (
    BGRT,
    BOOT_PARAMS,
    FIRST_KERNEL,
    FIRST_KERNEL_1G,
    KEXEC_SYSCALL,
    content,
)
from tests.support.snapshots import recorded

SEED = bytes(range(100, 132))
SCREEN = bytes(range(1, 65))
INITRD = b"070701" * 50_000
CMDLINE = "root=/dev/vda1 quiet"


@pytest.fixture
def snapshot() -> Snapshot:
    return recorded(FIRST_KERNEL)


@pytest.fixture
def machine() -> Machine:
    return machine_of(FIRST_KERNEL)


def machine_of(name: str) -> Machine:
    """The machine of a recording."""
    snapshot = recorded(name)
    memory_map = snapshot.memory_map or ()
    return Machine(
        memory_map=memory_map,
        usable=usable(memory_map, None, excluded_ranges(snapshot)),
        boot_params=content(name, BOOT_PARAMS),
        screen_info=SCREEN,
        acpi_rsdp=0x7F77_D014,
        secure_boot=2,
        five_level_paging=False,
    )


def planned(
    machine: Machine,
    snapshot: Snapshot | None,
    new: BzImage | None = None,
    initrd: bytes | None = INITRD,
    cmdline: str = CMDLINE,
) -> Plan:
    """The plan with the image that the daemon would give, or none where there is no snapshot."""
    image = compose(snapshot).pack() if snapshot else b""
    drafted = draft(new or kernel(), initrd, cmdline, machine, len(image))
    return finish(drafted, handed(snapshot) if drafted.image_address else None, SEED)


def handed(snapshot: Snapshot | None) -> Handed | None:
    return Handed(compose(snapshot).pack(), efi_info(snapshot)) if snapshot else None


def u64(plan: Plan, address: int) -> int:
    value: int = struct.unpack("<Q", read(plan, address, 8))[0]
    return value


def halves(params: bytes, low: int, high: int) -> int:
    value: int = struct.unpack_from("<I", params, high)[0] << 32
    return value | int(struct.unpack_from("<I", params, low)[0])


def refusal(machine: Machine, new: BzImage | None = None, initrd: bytes | None = INITRD) -> str:
    with pytest.raises(LoadError) as raised:
        draft(new or kernel(), initrd, CMDLINE, machine, 352)
    assert raised.value.hint.endswith(".")
    return str(raised.value)


def test_the_stub_enters_the_kernel_at_its_64_bit_entry(
    machine: Machine, snapshot: Snapshot
) -> None:
    code = bytes(range(256)) * 8

    plan = planned(machine, snapshot, kernel(code))

    stub = read(plan, plan.entry, 0x80)
    at = stub.index(b"\xff\x25")
    entry = u64(plan, plan.entry + at + 6 + struct.unpack_from("<i", stub, at + 2)[0])
    assert read(plan, entry - 0x200, len(code)) == code


def test_the_kernel_has_all_the_memory_that_it_asks_for(
    machine: Machine, snapshot: Snapshot
) -> None:
    plan = planned(machine, snapshot, kernel(init_size=33 * MIB + 1, pref_address=32 * MIB))

    (segment,) = (each for each in plan.segments if each.name == "kernel")
    assert (segment.address, segment.size) == (32 * MIB, 33 * MIB + 4096)


def test_a_kernel_that_prefers_no_address_goes_to_the_lowest() -> None:
    plan = planned(long_map(1), None, kernel(pref_address=0))

    (segment,) = (each for each in plan.segments if each.name == "kernel")
    assert segment.address == 2 * MIB
    assert segment == plan.segments[0]


def test_the_kernel_finds_its_initrd_and_command_line(machine: Machine, snapshot: Snapshot) -> None:
    plan = planned(machine, snapshot)

    params = params_of(plan)
    assert halves(params, 0x21C, 0x0C4) == len(INITRD)
    assert read(plan, halves(params, 0x218, 0x0C0), len(INITRD)) == INITRD
    line = CMDLINE.encode() + b"\0"
    assert read(plan, halves(params, 0x228, 0x0C8), len(line)) == line


def test_efi_is_handed_over(machine: Machine, snapshot: Snapshot) -> None:
    plan = planned(machine, snapshot)

    signature, systab, size, version, low, length, systab_hi, high = struct.unpack_from(
        "<4s7I", params_of(plan), 0x1C0
    )
    assert plan.efi
    assert (signature, size, version) == (b"EL64", 40, 1)
    assert (systab_hi, systab) == (0, 0x7F5E_B018)
    assert read(plan, high << 32 | low, length) == compose(snapshot).pack()[112:]


def test_the_list_holds_the_image_and_a_seed(machine: Machine, snapshot: Snapshot) -> None:
    image, seed = nodes_of(planned(machine, snapshot))

    assert image[1:] == (4, compose(snapshot).pack()[16:112])
    assert seed[1:] == (9, SEED)


def test_acpi_secure_boot_and_the_screen(machine: Machine, snapshot: Snapshot) -> None:
    params = params_of(planned(machine, snapshot))

    assert struct.unpack_from("<Q", params, 0x70) == (0x7F77_D014,)
    assert params[0x1EC] == 2
    assert params[:64] == SCREEN


def test_without_efi_nothing_of_it_is_told(machine: Machine) -> None:
    plan = planned(machine, None)

    assert not plan.efi
    assert not any(params_of(plan)[0x1C0:0x1E0])
    assert [kind for _, kind, _ in nodes_of(plan)] == [9]
    assert plan.notes == ()


def test_without_efi_a_kernel_may_have_no_initrd(machine: Machine) -> None:
    plan = planned(machine, None, initrd=None)

    params = params_of(plan)
    assert (halves(params, 0x218, 0x0C0), halves(params, 0x21C, 0x0C4)) == (0, 0)
    assert "initrd" not in [segment.name for segment in plan.segments]


def test_with_efi_a_kernel_without_an_initrd_gets_an_empty_one(
    machine: Machine, snapshot: Snapshot
) -> None:
    plan = planned(machine, snapshot, initrd=None)

    params = params_of(plan)
    archive = read(plan, halves(params, 0x218, 0x0C0), halves(params, 0x21C, 0x0C4))
    # Source: Documentation/driver-api/early-userspace/buffer-format.rst.
    header = [int(archive[at : at + 8], 16) for at in range(6, 110, 8)]
    assert archive[:6] == b"070701"
    assert (header[6], header[11]) == (0, 11)
    assert archive[110:] == b"TRAILER!!!\0\0\0\0"
    assert any("empty initrd" in note for note in plan.notes)


def test_a_kernel_that_cannot_take_efi_goes_without(machine: Machine, snapshot: Snapshot) -> None:
    image = compose(snapshot).pack()

    drafted = draft(kernel(xloadflags=0x2F), None, CMDLINE, machine, len(image))
    plan = finish(drafted, None, SEED)

    assert drafted.image_address is None
    assert not plan.efi
    (note,) = plan.notes
    assert "XLF_EFI_KEXEC" in note


@pytest.mark.parametrize(("xloadflags", "allowed"), [(0x1F, False), (0x3F, True)])
def test_5_level_paging_takes_a_kernel_that_knows_it(
    machine: Machine, snapshot: Snapshot, xloadflags: int, allowed: bool
) -> None:
    machine = replace(machine, five_level_paging=True)

    if allowed:
        planned(machine, snapshot, kernel(xloadflags=xloadflags))
    else:
        assert "5-level" in refusal(machine, kernel(xloadflags=xloadflags))


def test_4_level_paging_does_not(machine: Machine, snapshot: Snapshot) -> None:
    planned(machine, snapshot, kernel(xloadflags=0x1F))


def long_map(count: int) -> Machine:
    """A machine with that many entries in its memory map, all but one of them reserved."""
    reserved = ((1 << 40) + (n << 20) for n in range(count - 1))
    ranges = memory_map(
        (MIB, 1024 * MIB - 1, "System RAM"),
        *((start, start + 0xFFF, "Reserved") for start in reserved),
    )
    return Machine(ranges, usable(ranges, None, ()), bytes(4096), bytes(64), 0, 0, False)


def test_a_memory_map_that_is_too_long_goes_on_in_the_list() -> None:
    plan = planned(long_map(200), None)

    (_, seed, _), (_, kind, payload) = nodes_of(plan)
    assert (seed, kind) == (9, 1)
    assert len(payload) == (200 - 128) * 20
    last = (1 << 40) + (198 << 20)
    assert struct.unpack_from("<QQI", payload, 71 * 20) == (last, 0x1000, 2)


def test_a_memory_map_that_fits_does_not() -> None:
    assert [kind for _, kind, _ in nodes_of(planned(long_map(128), None))] == [9]


@pytest.mark.parametrize("name", [FIRST_KERNEL, FIRST_KERNEL_1G, BGRT, KEXEC_SYSCALL])
def test_recorded_machines_can_load(name: str) -> None:
    snapshot = recorded(name)

    plan = planned(machine_of(name), snapshot)

    assert plan.efi
    assert [each.address for each in plan.segments] == sorted(e.address for e in plan.segments)


def test_an_initrd_larger_than_memory_is_refused() -> None:
    machine = replace(
        long_map(1), usable=free((16 * MIB, 48 * MIB - 1), (1 << 30, (1 << 30) + 2 * MIB))
    )

    assert refusal(machine, initrd=bytes(3 * MIB)).startswith("The initrd does not fit")


def test_more_than_half_of_memory_is_refused() -> None:
    machine = replace(long_map(1), usable=free((16 * MIB, 144 * MIB - 1)))

    sentence = refusal(machine, initrd=bytes(33 * MIB))

    assert "more than half" in sentence
    assert f"the kernel with {32 * MIB}" not in sentence
    assert f"the initrd with {33 * MIB}" in sentence


def test_half_of_memory_is_allowed() -> None:
    machine = replace(long_map(1), usable=free((16 * MIB, 144 * MIB - 1)))
    rest = 64 * MIB - 32 * MIB - 4 * 4096  # the stub, boot_params, command line and seed

    draft(kernel(), bytes(rest), CMDLINE, machine, 0)
    with pytest.raises(LoadError, match="more than half"):
        draft(kernel(), bytes(rest + 1), CMDLINE, machine, 0)


def test_an_empty_initrd_is_refused(machine: Machine) -> None:
    assert refusal(machine, initrd=b"") == "The initrd is empty."


def test_a_command_line_that_is_too_long_is_refused(machine: Machine) -> None:
    with pytest.raises(LoadError, match="the kernel takes 2047 at most"):
        draft(kernel(), None, "x" * 2048, machine, 0)


def wrong(part: str, image: bytes, efi_info: bytes) -> Handed:
    """An answer of the daemon with one thing in it that is not right."""
    changes = {
        "another length": (image + bytes(40), efi_info),
        "a link": (b"\x08" + image[1:], efi_info),
        "another node": (image[:8] + b"\x09" + image[9:], efi_info),
        "no EFI": (image, bytes(32)),
        "half an efi_info": (image, efi_info[:31]),
        "another size": (image, efi_info[:20] + b"\x28" + efi_info[21:]),
        "another stride": (image, efi_info[:8] + b"\x30" + efi_info[9:]),
        "another version": (image, efi_info[:12] + b"\2" + efi_info[13:]),
    }
    return Handed(*changes[part])


def test_an_image_without_regions_is_refused(machine: Machine, snapshot: Snapshot) -> None:
    empty = replace(snapshot, runtime_map=())
    drafted = draft(kernel(), INITRD, CMDLINE, machine, len(compose(empty).pack()))

    with pytest.raises(LoadError, match="do not go together"):
        finish(drafted, handed(empty), SEED)


@pytest.mark.parametrize(
    "part",
    [
        "another length",
        "a link",
        "another node",
        "no EFI",
        "half an efi_info",
        "another size",
        "another stride",
        "another version",
    ],
)
def test_half_an_image_is_refused(machine: Machine, snapshot: Snapshot, part: str) -> None:
    right = handed(snapshot)
    assert right is not None
    drafted = draft(kernel(), INITRD, CMDLINE, machine, len(right.image))

    with pytest.raises(LoadError, match="do not go together"):
        finish(drafted, wrong(part, right.image, right.efi_info), SEED)


def test_the_image_is_linked_as_the_daemon_would(machine: Machine, snapshot: Snapshot) -> None:
    plan = planned(machine, snapshot)

    (image, _, _), (seed, _, _) = nodes_of(plan)
    told = params_of(plan)[0x1C0:0x1E0]
    placer = Placer(compose(snapshot).pack(), snapshot)
    assert (read(plan, image, 352), told) == placer.place(image, seed)


def test_what_is_avoided_is_told(machine: Machine, snapshot: Snapshot) -> None:
    plan = planned(machine, snapshot)

    assert "EFI runtime: BootServicesData" in [each.why for each in plan.usable.avoided]


@pytest.mark.parametrize(
    ("cmdline", "kept_out"),
    [
        ("mem=256M", (256 * MIB, 1 << 64)),
        ("quiet memmap=512M$16M", (16 * MIB, 528 * MIB)),
        ("memmap=exactmap memmap=640K@0 memmap=128M@64M", (0, 64 * MIB)),
    ],
)
def test_nothing_goes_where_the_new_command_line_leaves_no_memory(
    machine: Machine, snapshot: Snapshot, cmdline: str, kept_out: tuple[int, int]
) -> None:
    plan = planned(machine, snapshot, cmdline=cmdline)

    start, end = kept_out
    for each in plan.segments:
        assert each.address + each.size <= start or end <= each.address, each.name
    assert any("new command line" in each.why for each in plan.usable.avoided)


def test_a_command_line_that_leaves_no_room_is_told(machine: Machine) -> None:
    with pytest.raises(LoadError, match="The kernel does not fit"):
        draft(kernel(), INITRD, "mem=32M", machine, 0)


def test_everything_stands_close_to_the_kernel(machine: Machine, snapshot: Snapshot) -> None:
    plan = planned(machine, snapshot)

    assert plan.segments[0].name == "kernel"
    for before, after in pairwise(plan.segments):
        assert after.address == before.address + before.size
