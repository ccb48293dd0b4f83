# SPDX-License-Identifier: LGPL-2.1-or-later
"""/proc/iomem: what the kernel writes is read, and nothing else is believed."""

from pathlib import Path

import pytest

from kexecprepd.reading.iomem import IomemError, Resource, read
from tests.support.recordings import write

SHOWN = """\
00000000-00000fff : Reserved
00001000-0009fbff : System RAM
000a0000-000bffff : PCI Bus 0000:00
00100000-bfffffff : System RAM
  01000000-02209987 : Kernel code
  a9000000-b8ffffff : Crash kernel
e0000000-efffffff : PCI Bus 0000:00
  e0000000-e000ffff : 0000:00:01.0
    e0000000-e0000fff : virtio-pci-modern
fec00000-fec003ff : IOAPIC 0
100000000-63fffffff : System RAM
"""


def test_lines_come_in_their_order_with_their_depth(tmp_path: Path) -> None:
    write(tmp_path, "proc/iomem", SHOWN)

    resources = read(tmp_path)

    assert resources is not None
    assert len(resources) == 11
    assert resources[0] == Resource(0, 0xFFF, "Reserved", 0)
    assert resources[5] == Resource(0xA900_0000, 0xB8FF_FFFF, "Crash kernel", 1)
    assert resources[8] == Resource(0xE000_0000, 0xE000_0FFF, "virtio-pci-modern", 2)
    assert resources[10] == Resource(1 << 32, 0x6_3FFF_FFFF, "System RAM", 0)


def test_a_tree_without_the_file_is_told_from_one_that_is_wrong(tmp_path: Path) -> None:
    assert read(tmp_path) is None


def test_zeros_in_place_of_addresses_are_for_those_who_are_not_root(tmp_path: Path) -> None:
    write(tmp_path, "proc/iomem", "00000000-00000000 : Reserved\n00000000-00000000 : System RAM\n")

    with pytest.raises(IomemError) as raised:
        read(tmp_path)

    assert raised.value.denied
    assert "root alone" in raised.value.sentence
    assert raised.value.hint


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "whole line"),
        ("00001000-00001fff : System RAM\n00002000-0000", "whole line"),
        ("00001000-00001fff : System RAM\n\n", "line 2, is not a range"),
        ("00001000-00001fff : \n", "line 1, is not a range"),
        ("00001000 : System RAM\n", "line 1, is not a range"),
        ("0000100G-00001fff : System RAM\n", "line 1, is not a range"),
        ("00001000-00001FFF : System RAM\n", "line 1, is not a range"),
        ("00001000-10000000000000000 : System RAM\n", "line 1, is not a range"),
        ("00001000-00001fff : System RAM\n 00001000-00001fff : Reserved\n", "line 2, is not a"),
        ("  00001000-00001fff : System RAM\n", "line 1, is nested below nothing"),
        ("00001000-00001fff : a\n    00001000-00001fff : b\n", "line 2, is nested below nothing"),
        ("00002000-00001fff : System RAM\n", "line 1, ends before it begins"),
    ],
)
def test_what_the_kernel_does_not_write_is_refused(tmp_path: Path, text: str, words: str) -> None:
    write(tmp_path, "proc/iomem", text)

    with pytest.raises(IomemError) as raised:
        read(tmp_path)

    assert words in str(raised.value)
    assert raised.value.hint


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "proc/iomem").mkdir(parents=True)

    with pytest.raises(IomemError) as raised:
        read(tmp_path)

    assert str(raised.value) == f"{tmp_path}/proc/iomem cannot be read: is a directory."


def test_a_unit_s_credential_stands_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    (tmp_path / "kexecprepd.iomem").write_text("00001000-0009ffff : System RAM\n")

    assert read(Path("/")) == (Resource(0x1000, 0x9_FFFF, "System RAM", 0),)


def test_a_unit_s_credential_does_not_stand_for_a_tree_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    (tmp_path / "kexecprepd.iomem").write_text("00001000-0009ffff : System RAM\n")

    assert read(tmp_path) is None
