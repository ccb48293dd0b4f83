# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the next kernel reads first, byte by byte."""

import struct
from dataclasses import replace

import pytest

from kexecprepd.abi.bootparam import E820Entry
from kexecprepd.abi.setup_data import pack_node
from kexecprepd.loader.boot_params import Told, command_line, compose
from kexecprepd.loader.errors import LoadError
from tests.support.kernels import kernel

TOLD = Told(
    screen_info=bytes(range(100, 164)),
    cmdline_address=0x1_2345_6000,
    initrd_address=0x2_3456_7000,
    initrd_size=0x3_4567_8901,
    setup_data=0x4_5678_9000,
    efi_info=bytes(range(1, 33)),
    acpi_rsdp=0x7F77_D014,
    secure_boot=2,
    e820=(E820Entry(0, 0x9_F000, 1), E820Entry(0x10_0000, 0x100_0000, 1)),
)
RUNNING = bytes(n % 251 + 1 for n in range(4096))
"""Without a zero in it, and different 251 bytes on."""


def u32(data: bytes, offset: int) -> int:
    value: int = struct.unpack_from("<I", data, offset)[0]
    return value


def test_it_is_one_page() -> None:
    assert len(compose(kernel(), RUNNING, TOLD)) == 4096


def test_the_header_is_the_new_kernels_but_for_what_a_loader_writes() -> None:
    new = kernel(header_length=0x7F)

    header = bytearray(compose(new, RUNNING, TOLD)[0x1F1:0x281])

    written = [(0x210, 1), (0x218, 8), (0x228, 4), (0x23C, 4), (0x250, 8)]
    expected = bytearray(new.setup_header)
    for offset, size in written:
        header[offset - 0x1F1 : offset - 0x1F1 + size] = bytes(size)
        expected[offset - 0x1F1 : offset - 0x1F1 + size] = bytes(size)
    assert header == expected


def test_the_loader_is_kexec() -> None:
    assert compose(kernel(type_of_loader=0x21), RUNNING, TOLD)[0x210] == 0xD0


def test_addresses_above_4_gib_are_told_in_halves() -> None:
    params = compose(kernel(), RUNNING, TOLD)

    assert (u32(params, 0x228), u32(params, 0x0C8)) == (0x2345_6000, 1)
    assert (u32(params, 0x218), u32(params, 0x0C0)) == (0x3456_7000, 2)
    assert (u32(params, 0x21C), u32(params, 0x0C4)) == (0x4567_8901, 3)
    assert struct.unpack_from("<Q", params, 0x250) == (0x4_5678_9000,)


def test_efi_acpi_and_secure_boot() -> None:
    params = compose(kernel(), RUNNING, TOLD)

    assert params[0x1C0:0x1E0] == TOLD.efi_info
    assert struct.unpack_from("<Q", params, 0x070) == (0x7F77_D014,)
    assert params[0x1EC] == 2


def test_what_the_header_of_an_image_says_in_a_loaders_place_does_not_count() -> None:
    lying = kernel(ramdisk_image=7, ramdisk_size=7, cmd_line_ptr=7, setup_data=7)
    nothing = replace(TOLD, initrd_address=0, initrd_size=0, cmdline_address=0x1000, setup_data=0)

    params = compose(lying, RUNNING, nothing)

    assert [u32(params, at) for at in (0x218, 0x21C, 0x228)] == [0, 0, 0x1000]
    assert params[0x250:0x258] == bytes(8)


def test_the_memory_map() -> None:
    params = compose(kernel(), RUNNING, TOLD)

    assert params[0x1E8] == 2
    expected = struct.pack("<QQIQQI", 0, 0x9_F000, 1, 0x10_0000, 0x100_0000, 1)
    assert params[0x2D0 : 0x2D0 + 40] == expected
    assert not any(params[0x2D0 + 40 : 0xCD0])


@pytest.mark.parametrize(("count", "told"), [(128, 128), (129, 128), (400, 128)])
def test_a_long_memory_map_is_told_as_far_as_it_fits(count: int, told: int) -> None:
    listed = tuple(E820Entry(n << 20, 0xF_FFFF, 1) for n in range(count))

    params = compose(kernel(), bytes(4096), replace(TOLD, e820=listed))

    assert params[0x1E8] == told
    last = (127 << 20, 0xF_FFFF, 1)
    assert struct.unpack_from("<QQI", params, 0x2D0 + 127 * 20) == last
    assert not any(params[0xCD0:])


def test_the_screen_is_as_told() -> None:
    assert compose(kernel(), RUNNING, TOLD)[:64] == TOLD.screen_info


def test_monitor_and_disks_are_inherited() -> None:
    params = compose(kernel(), RUNNING, TOLD)

    inherited = [(0x140, 0x1C0), (0x1E9, 0x1EB), (0x290, 0x2D0), (0xD00, 0xEEC)]
    for start, end in [*inherited, (0x23C, 0x240)]:
        assert params[start:end] == RUNNING[start:end], hex(start)


@pytest.mark.parametrize(
    ("start", "end"),
    [
        pytest.param(0x040, 0x070, id="APM, tboot, Speedstep"),
        pytest.param(0x078, 0x0C0, id="drives and tables of a BIOS"),
        pytest.param(0x0CC, 0x140, id="up to cc_blob_address"),
        pytest.param(0x1E0, 0x1E8, id="alt_mem_k and scratch"),
        pytest.param(0x1EB, 0x1EC, id="kbd_status"),
        pytest.param(0x1ED, 0x1F1, id="the sentinel and around it"),
        pytest.param(0x281, 0x290, id="behind the header"),
        pytest.param(0xCD0, 0xD00, id="behind the memory map"),
        pytest.param(0xEEC, 0x1000, id="the end"),
    ],
)
def test_all_else_is_zero(start: int, end: int) -> None:
    assert not any(compose(kernel(), RUNNING, TOLD)[start:end])


@pytest.mark.parametrize("size", [0, 4095, 4097])
def test_half_boot_params_are_not_inherited_from(size: int) -> None:
    with pytest.raises(LoadError, match=f"have {size} bytes, not 4096"):
        compose(kernel(), bytes(size), TOLD)


def test_a_command_line_ends_with_a_nul() -> None:
    assert command_line(kernel(), "root=/dev/vda1 ö") == "root=/dev/vda1 ö".encode() + b"\0"


def test_a_command_line_as_long_as_the_kernel_takes() -> None:
    assert len(command_line(kernel(cmdline_size=10), "x" * 10)) == 11
    with pytest.raises(LoadError, match="has 11 bytes, and the kernel takes 10"):
        command_line(kernel(cmdline_size=10), "x" * 11)


def test_the_length_of_a_command_line_is_in_bytes() -> None:
    with pytest.raises(LoadError, match="has 12 bytes"):
        command_line(kernel(cmdline_size=10), "ö" * 6)


def test_a_command_line_with_a_nul_is_refused() -> None:
    with pytest.raises(LoadError, match="NUL"):
        command_line(kernel(), "root=/dev/vda1\0quiet")


def test_bytes_that_are_no_text_come_through_as_they_were() -> None:
    assert command_line(kernel(), b"a=\xff".decode("utf-8", "surrogateescape")) == b"a=\xff\0"


def test_a_setup_data_node() -> None:
    expected = bytes.fromhex("0010000002000000 09000000 03000000") + b"abc"

    assert pack_node(0x2_0000_1000, 9, b"abc") == expected
