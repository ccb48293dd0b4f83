# SPDX-License-Identifier: LGPL-2.1-or-later
"""The files that a kernel is loaded from: read whole or refused with a sentence."""

import os
import socket
from pathlib import Path

import pytest

from kexecprepd.loader import files
from kexecprepd.loader.errors import LoadError
from kexecprepd.loader.files import Part
from tests.support.wanted import opened


def read(path: Path, limit: int = 1 << 20) -> bytes:
    with files.opened(path, "initrd") as file:
        content = files.gather([Part.whole(file)], limit)
    assert content is not None
    return bytes(content)


def refusal(path: Path, limit: int = 1 << 20) -> str:
    with pytest.raises(LoadError) as raised:
        read(path, limit)
    assert str(path) in str(raised.value)
    return str(raised.value)


def test_a_file_is_read_whole(tmp_path: Path) -> None:
    content = bytes(range(256)) * 64
    (tmp_path / "initrd").write_bytes(content)

    assert read(tmp_path / "initrd", len(content)) == content


def test_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "initrd").write_bytes(b"x")
    (tmp_path / "link").symlink_to("initrd")

    assert read(tmp_path / "link", 1) == b"x"


def test_a_file_that_is_too_large_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "initrd"
    with path.open("wb") as file:
        file.truncate(1 << 40)

    assert f"has {1 << 40} bytes, more than can be loaded" in refusal(path, files.room())


def test_one_byte_too_many_is_too_many(tmp_path: Path) -> None:
    (tmp_path / "initrd").write_bytes(b"12345")

    assert "has 5 bytes" in refusal(tmp_path / "initrd", 4)


@pytest.mark.parametrize("size", [3, 12])
def test_a_file_that_changes_meanwhile_is_refused(tmp_path: Path, size: int) -> None:
    path = tmp_path / "initrd"
    path.write_bytes(b"12345")
    with files.opened(path, "initrd") as file:
        os.truncate(path, size)
        with pytest.raises(LoadError, match="changed while it was read"):
            file.sha256()


def test_a_file_that_gets_shorter_is_not_filled_up(tmp_path: Path) -> None:
    path = tmp_path / "initrd"
    path.write_bytes(b"12345")
    with files.opened(path, "initrd") as file:
        os.truncate(path, 3)
        with pytest.raises(LoadError, match="changed while it was read"):
            files.gather([Part.whole(file)], 100)


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "initrd").touch()

    assert "is empty" in refusal(tmp_path / "initrd")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert "cannot be read: no such file or directory" in refusal(tmp_path / "initrd")


def test_what_is_no_file_is_refused_without_opening_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))

    assert "is a directory" in refusal(tmp_path)
    assert "is a pipe" in refusal(tmp_path / "pipe")
    assert "is a socket" in refusal(tmp_path / "socket")
    assert "is a device" in refusal(Path("/dev/zero"))


def test_no_initrd_is_none() -> None:
    assert files.gather([], 100) is None


def test_several_parts_begin_at_multiples_of_four(tmp_path: Path) -> None:
    with opened(b"first, second!!") as one, opened(b"third") as two:
        parts = [Part(one, 0, 5), Part(one, 7, 8), Part.whole(two)]
        joined = files.gather(parts, 100)
        with pytest.raises(LoadError, match="has 5 bytes, more than can be loaded"):
            files.gather(parts, 20)

    assert joined is not None
    assert bytes(joined) == b"first\0\0\0second!!third"


def test_a_directory_may_have_a_thousand_files_and_no_more(tmp_path: Path) -> None:
    for number in range(1000):
        (tmp_path / str(number)).touch()
    assert len(files.listed(tmp_path, "Boot entries")) == 1000

    (tmp_path / "more").touch()
    with pytest.raises(LoadError, match="more than 1000 files"):
        files.listed(tmp_path, "Boot entries")
