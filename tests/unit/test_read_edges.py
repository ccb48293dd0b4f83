# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is read seldom, and what seldom goes wrong while it is read."""

import errno
import gzip
import os
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from kexecprepd.abi.bootparam import E820_RAM, SIGNATURE_32, E820Entry, pack_e820
from kexecprepd.abi.efi import attribute_names
from kexecprepd.abi.setup_data import SETUP_E820_EXT, SETUP_EFI, SETUP_KEXP, pack_node
from kexecprepd.core.decoding import decode
from kexecprepd.core.difference import of_kernel
from kexecprepd.core.image import efi_info
from kexecprepd.core.recording import SETUP_DATA, redacted
from kexecprepd.core.snapshot import MemoryBlocks
from kexecprepd.core.unreadable import Unreadable
from kexecprepd.reading import archive, container, firmware, iomem, proc, small
from kexecprepd.reading.archive import RecordingError
from kexecprepd.reading.container import contained
from kexecprepd.reading.firmware import read_firmware, tables_line
from kexecprepd.reading.gather import gather
from kexecprepd.reading.iomem import IomemError
from kexecprepd.reading.sysfs import read_snapshot
from kexecprepd.reading.tree import ReadError, Tree
from tests.support.recordings import BOOT_PARAMS, FIRST_KERNEL, write
from tests.support.snapshots import recorded

HERE = Path("/")


def fail(monkeypatch: pytest.MonkeyPatch, path: Path, number: int) -> None:
    """Have a file's reading fail with an errno."""
    contents = small.contents

    def failing(name: str | Path, *arguments: int, dir_fd: int | None = None) -> bytes:
        if name == path:
            raise OSError(number, os.strerror(number))
        return contents(name, *arguments, dir_fd=dir_fd)

    monkeypatch.setattr(small, "contents", failing)


def test_attributes_of_the_instruction_set_are_a_number() -> None:
    assert attribute_names(0x3 << 44) == ("ISA=0x3",)


def test_a_node_is_explained_by_its_type_and_what_follows_is_noted() -> None:
    table = pack_e820([E820Entry(0x1000, 0x2000, E820_RAM)])

    told = decode(pack_node(0, SETUP_E820_EXT, table) + b"ab")

    assert told.notes == ("2 bytes follow the node.",)
    assert [(each.name, each.value) for each in told.items[-3:]] == [
        ("e820.0.addr", 0x1000),
        ("e820.0.size", 0x2000),
        ("e820.0.type", E820_RAM),
    ]
    alone = decode(pack_node(0, SETUP_EFI, bytes(96)))
    assert (alone.kind, len(alone.items), alone.notes) == ("setup_data node", 7, ())


def test_a_kernel_that_does_not_show_its_boot_params_is_compared_by_the_rest() -> None:
    snapshot = replace(
        recorded(FIRST_KERNEL), boot_params=None, memory_blocks=MemoryBlocks(1 << 27, (0, 1))
    )

    facts = of_kernel(snapshot)

    assert facts["memory blocks"] == "2 of 0x8000000 bytes"
    assert "type_of_loader" not in facts


def test_a_receipt_that_cannot_be_used_is_blanked() -> None:
    members = {
        f"{SETUP_DATA}/0/type": b"%#x\n" % SETUP_KEXP,
        f"{SETUP_DATA}/0/data": b"who knows",
    }

    assert redacted(members)[f"{SETUP_DATA}/0/data"] == bytes(9)


def test_where_a_recording_cannot_be_put_it_is_told(tmp_path: Path) -> None:
    file, top = tmp_path / "recording", tmp_path / "top"
    file.write_bytes(archive.pack({"recording.json": b'{"format":1}'}))
    write(top, "recording.json", "in the way")

    with pytest.raises(RecordingError, match="cannot be unpacked: file exists"):
        archive.extract(file, top)


def test_the_top_of_a_recording_may_be_in_it() -> None:
    members = {".": None, "recording.json": b'{"format":1}'}

    assert "." not in archive.unpack(archive.pack(members))


def test_a_file_that_the_archive_ends_within_is_named() -> None:
    whole = gzip.decompress(archive.pack({"recording.json": b'{"format":1}'}))

    with pytest.raises(ValueError, match=r"ends within recording\.json"):
        archive.unpack(gzip.compress(whole[:512]))


def test_another_format_of_a_recording_is_told() -> None:
    with pytest.raises(ValueError, match="not of format 1"):
        archive.unpack(archive.pack({"recording.json": b'{"format":2}'}))


def test_damaged_compression_is_told() -> None:
    data = archive.pack({"recording.json": b'{"format":1}'})

    with pytest.raises(ValueError, match="compressed data is damaged"):
        archive.unpack(data[:10] + b"\xff" * 20 + data[30:])


def test_what_started_this_process_may_say_that_it_is_a_container(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(container, "_MARKS", ())
    monkeypatch.setenv("container", "lxc")

    assert contained(HERE)


def test_a_file_that_came_as_no_credential_is_read_in_its_place(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert proc.path(HERE, "iomem") == Path("/proc/iomem")

    (tmp_path / "kexecprepd.iomem").touch()
    assert proc.path(HERE, "iomem") == tmp_path / "kexecprepd.iomem"


def test_what_an_old_kernel_has_for_variables_counts(tmp_path: Path) -> None:
    write(tmp_path, "sys/firmware/efi/vars/new_var", "")

    assert read_firmware(tmp_path)["variables"] is True


def test_variables_that_cannot_be_listed_are_not_known(tmp_path: Path) -> None:
    write(tmp_path, "sys/firmware/efi/efivars", "no directory")

    assert read_firmware(tmp_path)["variables"] is None


def test_what_was_handed_and_is_damaged_tells_nothing_of_the_firmware(tree: Path) -> None:
    write(tree, BOOT_PARAMS, "short")

    found = read_firmware(tree)

    assert (found["secure-boot"], found["option-roms"]) == (None, None)


def test_a_device_that_is_no_log_is_not_read_for_long(tmp_path: Path) -> None:
    (tmp_path / "kmsg").symlink_to("/dev/zero")

    assert tables_line(tmp_path / "kmsg") is None


def test_a_log_is_read_as_far_as_the_line_can_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(firmware, "_RECORDS", 1)
    write(tmp_path, "kmsg", b"6,1,1,-;x\n" * 1000 + b"6,2,2,-;efi: ACPI=0x1\n")

    assert tables_line(tmp_path / "kmsg") is None


def test_a_record_that_was_overwritten_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "kmsg", "")
    outcomes: list[bytes | None] = [None, b"6,2,2,-;efi: ACPI=0x1\n"]

    def read(*_: int) -> bytes:
        record = outcomes.pop(0)
        if record is None:
            raise BrokenPipeError
        return record

    monkeypatch.setattr(os, "read", read)

    assert tables_line(tmp_path / "kmsg") == b"6,2,2,-;efi: ACPI=0x1\n"


def test_a_log_that_is_a_folder_has_no_line(tmp_path: Path) -> None:
    assert tables_line(tmp_path) is None


def test_of_a_screen_its_driver_is_gathered(tree: Path) -> None:
    write(tree, "sys/class/graphics/fb0/name", "efi\n")

    assert gather(tree)["sys/class/graphics/fb0/name"] == b"efi\n"


def test_the_lines_of_two_files_are_gathered(tree: Path) -> None:
    write(tree, "proc/cpuinfo", "model: x\nflags\t: fpu\n")
    write(tree, "dev/kmsg", "6,1,1,-;efi: ACPI=0x7f77e000\n")

    found = gather(tree)

    assert found["proc/cpuinfo"] == b"flags\t: fpu\n"
    assert found["dev/kmsg"] == b"6,1,1,-;efi: ACPI=0x7f77e000\n"


def test_a_tree_of_many_bytes_is_not_gathered(tree: Path) -> None:
    for name in ("iomem", "version"):
        write(tree, f"proc/{name}", bytes(9 << 20))

    with pytest.raises(ReadError, match="more than 16777216 bytes"):
        gather(tree)


def test_a_tree_that_does_not_stay_the_same_is_not_gathered(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents, number = small.contents, count()

    def changing(name: str | Path, *arguments: int, dir_fd: int | None = None) -> bytes:
        if name == tree / "proc/cmdline":
            return str(next(number)).encode()
        return contents(name, *arguments, dir_fd=dir_fd)

    monkeypatch.setattr(small, "contents", changing)

    with pytest.raises(ReadError, match="no two of 10 passes over it agreed"):
        gather(tree)


@pytest.mark.parametrize(
    ("path", "number"),
    [
        ("sys/firmware/efi/systab", errno.EACCES),
        ("sys/firmware/efi/systab", errno.EIO),
    ],
)
def test_what_decides_and_cannot_be_read_is_not_left_out(
    tree: Path, monkeypatch: pytest.MonkeyPatch, path: str, number: int
) -> None:
    fail(monkeypatch, tree / path, number)

    with pytest.raises(ReadError, match="systab"):
        gather(tree)


@pytest.mark.parametrize(
    ("path", "number"),
    [
        ("sys/kernel/security/lockdown", errno.EACCES),
        (
            "sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c",
            errno.EIO,
        ),
    ],
)
def test_what_decides_nothing_may_be_missed(
    tree: Path, monkeypatch: pytest.MonkeyPatch, path: str, number: int
) -> None:
    write(tree, path, "")
    fail(monkeypatch, tree / path, number)

    assert path not in gather(tree)


def test_iomem_that_is_long_is_not_what_the_kernel_writes(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    with (tmp_path / "proc/iomem").open("wb") as file:
        file.truncate(17 << 20)

    with pytest.raises(IomemError, match="longer than") as raised:
        iomem.read(tmp_path)

    assert "not what the kernel writes" in raised.value.hint


def test_iomem_that_does_not_stay_the_same_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = count()
    monkeypatch.setattr(small, "contents", lambda path: b"%04x-ffff : x\n" % next(number))

    with pytest.raises(IomemError, match="no two of 10 readings agreed"):
        iomem.read(tmp_path)


@pytest.mark.parametrize("size", ["0\n", "0x8000000\n", "8000000"])
def test_a_size_of_memory_blocks_that_is_none_is_malformed(tree: Path, size: str) -> None:
    write(tree, "sys/devices/system/memory/block_size_bytes", size)

    reading = read_snapshot(tree)

    assert isinstance(reading, Unreadable)
    assert reading.code == "sysfs-malformed"


def test_a_file_that_may_be_missing_has_to_be_readable_where_it_is_there(tree: Path) -> None:
    (tree / "sys/kernel/realtime").symlink_to("realtime")

    reading = read_snapshot(tree)

    assert isinstance(reading, Unreadable)
    assert reading.path.endswith("kernel/realtime")


def test_a_tree_that_is_closed_is_called_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(*_: object, **__: object) -> int:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(os, "open", denied)

    with pytest.raises(ReadError) as raised, Tree.open(tmp_path):
        pass

    assert raised.value.unreadable.denied


def test_of_a_kernel_without_a_whole_efi_info_nothing_is_passed_on() -> None:
    snapshot = recorded(FIRST_KERNEL)
    params = snapshot.boot_params
    assert params is not None
    of_32_bit = replace(params, efi_info=replace(params.efi_info, signature=SIGNATURE_32))

    assert efi_info(replace(snapshot, boot_params=of_32_bit)) == bytes(32)
