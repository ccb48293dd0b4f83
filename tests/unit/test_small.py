# SPDX-License-Identifier: LGPL-2.1-or-later
"""The reader of small files: all of a file or an error that names it, and never a part of it."""

import errno
import os
import socket
import subprocess
from pathlib import Path

import pytest

from kexecprepd.reading.small import contents, text, text_or_none


def test_a_file_as_long_as_the_limit_is_read_and_a_longer_one_refused(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 200_000)

    assert contents(path, 200_000) == b"x" * 200_000
    with pytest.raises(OSError, match="longer than 199999 bytes") as raised:
        contents(path, 199_999)
    assert (raised.value.errno, raised.value.filename) == (errno.EFBIG, str(path))


@pytest.mark.parametrize("kind", ["pipe", "device", "socket"])
def test_what_is_no_regular_file_is_refused_and_not_waited_for(tmp_path: Path, kind: str) -> None:
    path = tmp_path / kind
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))

    with pytest.raises(OSError, match=kind) as raised:
        contents(path)
    assert raised.value.filename == str(path)


def test_a_file_of_the_kernel_s_is_read_to_its_end_whatever_size_it_claims() -> None:
    value = "x" * 100_000
    environment = {"LONG": value, "LAST": "y"}
    pipe = subprocess.PIPE
    with subprocess.Popen(["/bin/cat"], env=environment, stdin=pipe, stdout=pipe) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"there\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"there\n"  # only now is it all that it will be
        path = f"/proc/{process.pid}/environ"
        assert os.stat(path).st_size == 0
        assert contents(path) == f"LONG={value}\0LAST=y\0".encode()


def test_a_file_is_found_from_an_open_directory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("1\n")
    fd = os.open(tmp_path, os.O_RDONLY)
    try:
        assert contents("file", dir_fd=fd) == b"1\n"
    finally:
        os.close(fd)


@pytest.mark.parametrize("name", ["directory", "absent"])
def test_what_cannot_be_read_is_named_or_none(tmp_path: Path, name: str) -> None:
    (tmp_path / "directory").mkdir()
    path = tmp_path / name

    with pytest.raises(OSError, match=name) as raised:
        text(path)
    assert raised.value.filename == str(path)
    assert text_or_none(path) is None


def test_what_is_not_ascii_is_escaped(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"quiet \xff\n")
    assert text(tmp_path / "file") == "quiet \\xff\n"
