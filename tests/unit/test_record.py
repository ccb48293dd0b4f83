# SPDX-License-Identifier: LGPL-2.1-or-later
"""Recordings: what was saved answers as the machine did, and no archive does any harm."""

import gzip
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from kexecprepd.ctl.__main__ import main
from kexecprepd.ctl.exits import Exit
from kexecprepd.reading.archive import pack, unpack
from kexecprepd.reading.gather import gather
from tests.support.receipts import FROM, NODE, members
from tests.support.recordings import (
    BGRT,
    BOOT_ID,
    KEXEC_SYSCALL,
    NO_RUNTIME,
    add_setup_data,
    materialise,
    patch,
    remove,
    write,
)

ABOUT = b'{"format":1}'


def archive(*members: tuple[str, bytes, bytes]) -> bytes:
    """A compressed archive of (name, type, content), beside what makes it a recording."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, kind, content in (("recording.json", tarfile.REGTYPE, ABOUT), *members):
            info = tarfile.TarInfo(name)
            info.type, info.size, info.linkname = kind, len(content), "/etc/passwd"
            tar.addfile(info, io.BytesIO(content))
    return gzip.compress(buffer.getvalue())


def told(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, object]:
    code = main([*map(str, arguments), "--json=short"])
    return code, json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("redact", [False, True])
@pytest.mark.parametrize("name", [BGRT, KEXEC_SYSCALL, NO_RUNTIME])
def test_a_recording_answers_as_the_machine_does(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, redact: bool
) -> None:
    (tmp_path / "tree").mkdir()
    tree = materialise(name, tmp_path / "tree")
    file = tmp_path / "recording"
    assert main(["--root", str(tree), "record", str(file), *["--redact"] * redact]) == 0
    assert file.stat().st_mode & 0o777 == 0o600
    capsys.readouterr()

    for command in ("check", "map", "findings"):
        assert told(capsys, "--root", file, command) == told(capsys, "--root", tree, command)


@pytest.mark.parametrize("redact", [False, True])
def test_a_recording_of_a_recording_is_the_same(tree: Path, tmp_path: Path, redact: bool) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    assert main(["--root", str(tree), "record", str(first), *["--redact"] * redact]) == 0
    assert main(["--root", str(first), "record", str(second)]) == 0
    assert first.read_bytes() == second.read_bytes()


def test_record_says_what_is_in_it(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    beside = tree.parent / "recording"
    assert main(["--root", str(tree), "record", str(beside)]) == 0
    out = capsys.readouterr().out
    assert "kernel command line" in out
    assert "use --redact" in out


def test_where_nothing_can_be_written_nothing_is_said_to_be(
    tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--root", str(tree), "record", str(tree)]) == Exit.FAILED
    shown = capsys.readouterr()
    assert (shown.out, "cannot be written: is a directory" in shown.err) == ("", True)
    assert main(["--root", str(tree), "record", "/dev/full"]) == Exit.FAILED
    assert "when compressed" not in capsys.readouterr().out


def test_what_tells_the_machine_is_left_out(tree: Path) -> None:
    told = "root=UUID=4711 efi=debug secret.key=xyzzy memmap=4K$0x1000 mem=xyzzy noefi-xyzzy"
    write(tree, "proc/cmdline", f'{told} foo="a memmap=1M$xyzzy b" "bar=mem=4G" -- mem=4711\n')
    write(tree, "proc/version", "Linux version 6.1 (me@xyzzy-host) PREEMPT_RT\n")
    patch(tree, "sys/kernel/boot_params/data", 0x290, b"xyzzy")  # a disk's signature
    add_setup_data(tree, 3, b"xyzzy option rom")
    add_setup_data(tree, 5, b"xyzzy serial number")
    add_setup_data(tree, NODE, json.dumps(members(tree)).encode())
    variables = "sys/firmware/efi/efivars"
    guid = "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"
    write(tree, f"{variables}/LoaderEntryOneShot-{guid}", b"1234" + "xyzzy\0".encode("utf-16-le"))
    beside = tree.parent / "recording"

    assert main(["--root", str(tree), "record", "--redact", str(beside)]) == 0

    left = unpack(beside.read_bytes())
    assert left["proc/cmdline"] == b"efi=debug memmap=4K$0x1000\n"
    everything = b"".join(content or b"" for content in left.values()).replace(b"\0", b"")
    for secret in (b"xyzzy", b"4711", BOOT_ID.encode(), FROM.encode()):
        assert secret not in everything
    assert b"PREEMPT_RT" in everything
    assert left["sys/kernel/boot_params/setup_data/0/data"] == bytes(len(b"xyzzy option rom"))


@pytest.mark.parametrize("told", ["kernelcore=mirror", 'x="a efi=noruntime b"', "-- noefi"])
def test_without_what_tells_the_machine_it_answers_the_same(
    tree: Path, capsys: pytest.CaptureFixture[str], told: str
) -> None:
    write(tree, "proc/cmdline", f"{told}\n")
    file = tree.parent / "recording"
    assert main(["-q", "--root", str(tree), "record", "--redact", str(file)]) == 0
    codes = [main(["--root", str(root), "check", "--json=short"]) for root in (tree, file)]
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert (codes[0], first["findings"]) == (codes[1], second["findings"])


def test_a_signal_leaves_no_tree_behind(tree: Path, tmp_path: Path) -> None:
    file, pipe = tree.parent / "recording", tmp_path / "pipe"
    assert main(["-q", "--root", str(tree), "record", str(file)]) == 0
    os.mkfifo(pipe)
    folder = tmp_path / "temporary"
    folder.mkdir()
    command = [sys.executable, "-m", "kexecprepd.ctl", "--root", str(file), "map", "--svg"]
    environment = {**os.environ, "TMPDIR": str(folder)}
    # Nobody reads from the pipe: it waits there with the tree unpacked.
    with subprocess.Popen([*command, str(pipe)], env=environment) as waiting:
        try:
            wait_until(lambda: any(folder.glob("*/sys")) and state_of(waiting.pid) == "S")
            waiting.terminate()
            assert waiting.wait(60) == -signal.SIGTERM
        finally:
            waiting.kill()
    assert list(folder.iterdir()) == []


def wait_until(condition: Callable[[], bool]) -> None:
    """Raises TimeoutError where it does not come to be so."""
    end = time.monotonic() + 60
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(0.01)


def state_of(pid: int) -> str:
    """A process's state, as in proc_pid_stat(5)."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]


def test_the_seed_of_random_numbers_is_never_recorded(tree: Path) -> None:
    add_setup_data(tree, 9, b"xyzzy seed")
    assert b"xyzzy" not in b"".join(content or b"" for content in gather(tree).values())


def test_what_may_not_be_read_is_not_left_out(tree: Path) -> None:
    remove(tree, "sys/firmware/efi/systab")
    (tree / "sys/firmware/efi/systab").symlink_to("systab")
    assert main(["--root", str(tree), "record", str(tree.parent / "recording")]) == Exit.FAILED
    assert not (tree.parent / "recording").exists()


@pytest.mark.parametrize("name", ["x" * 200, "\u00e4", "a b"])
def test_what_cannot_be_in_a_recording_is_told(
    tree: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    write(tree, f"sys/firmware/memmap/{name}/start", "0x0\n")
    assert main(["--root", str(tree), "record", str(tree.parent / "recording")]) == Exit.FAILED
    assert "no name that the kernel would give" in capsys.readouterr().err


def test_a_tree_with_anything_in_recording_json_is_recorded(tree: Path) -> None:
    write(tree, "recording.json", "[" * 100_000)
    assert main(["--root", str(tree), "record", str(tree.parent / "recording")]) == 0


DAMAGED = {
    "empty": b"",
    "a text": b"no archive at all\n",
    "no tar": gzip.compress(b"x" * 2000),
    "nothing in it": gzip.compress(b""),
    "another archive": gzip.compress(bytes(10240)),
    "a bomb": gzip.compress(bytes(100 << 20), 1),
    "more than there can be": archive(("sys/a", tarfile.REGTYPE, bytes((16 << 20) + 1))),
    "cut short": archive(("sys/a", tarfile.REGTYPE, b"a"))[:-30],
    "cut within": gzip.compress(gzip.decompress(archive(("sys/a", tarfile.REGTYPE, b"a")))[:2048]),
    "more behind it": archive() + b"more",
    "more behind much": archive(("sys/a", tarfile.REGTYPE, bytes(1 << 20))) + b"more",
    "much behind it": archive() + bytes(1 << 17),
    "a link": archive(("sys/a", tarfile.SYMTYPE, b"")),
    "a hard link": archive(("sys/a", tarfile.LNKTYPE, b"")),
    "a device": archive(("dev/sda", tarfile.BLKTYPE, b"")),
    "a pipe": archive(("dev/kmsg", tarfile.FIFOTYPE, b"")),
    "a long name": archive(("sys/a", tarfile.GNUTYPE_LONGNAME, b"x" * 600)),
    "a sparse file": archive(("sys/a", tarfile.GNUTYPE_SPARSE, b"")),
    "an extended header": archive(("sys/a", tarfile.XHDTYPE, b"11 size=-1\n")),
    "upwards": archive(("sys/../../a", tarfile.REGTYPE, b"a")),
    "absolute": archive(("/etc/a", tarfile.REGTYPE, b"a")),
    "twice": archive(("sys/a", tarfile.REGTYPE, b"a"), ("sys/a", tarfile.REGTYPE, b"b")),
    "below a file": archive(("sys", tarfile.REGTYPE, b"a"), ("sys/a", tarfile.REGTYPE, b"b")),
    "a file that has others below it": archive(
        ("sys/a/b", tarfile.REGTYPE, b"a"), ("sys/a", tarfile.REGTYPE, b"b")
    ),
    "odd": archive(("sys/\nname", tarfile.REGTYPE, b"a")),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_bad_archive_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    file = tmp_path / "recording"
    file.write_bytes(DAMAGED[name])

    assert main(["--root", str(file), "check"]) == Exit.FAILED

    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith(f"kexecprepctl: {file} is no recording: ")
    assert [each.name for each in tmp_path.iterdir()] == ["recording"]


@pytest.mark.parametrize(
    "data",
    [DAMAGED["a bomb"], archive(("sys/a", tarfile.REGTYPE, bytes((16 << 20) - len(ABOUT))))],
    ids=["a bomb", "the largest one"],
)
def test_no_archive_takes_much_memory(data: bytes) -> None:
    tracemalloc.start()
    try:
        with suppress(ValueError):
            unpack(data)
        assert tracemalloc.get_traced_memory()[1] < 80 << 20
    finally:
        tracemalloc.stop()


def test_an_archive_of_very_many_files_is_not_unpacked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "recording"
    file.write_bytes(pack({"recording.json": ABOUT, **{f"sys/{n}": b"" for n in range(20_001)}}))
    assert main(["--root", str(file), "check"]) == Exit.FAILED
    assert "more than 20000 files" in capsys.readouterr().err


def test_a_file_of_a_gibibyte_is_not_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "recording"
    with file.open("wb") as written:
        written.truncate(1 << 30)
    assert main(["--root", str(file), "check"]) == Exit.FAILED
    assert "longer than" in capsys.readouterr().err


def test_an_error_names_the_recording(
    tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged = {**gather(tree), "recording.json": ABOUT}
    damaged["sys/firmware/efi/systab"] = b"damaged"
    file = tmp_path / "recording"
    file.write_bytes(pack(damaged))

    assert main(["--root", str(file), "check"]) == Exit.FAILED

    assert f"{file}/sys/firmware/efi/systab" in capsys.readouterr().err


def test_an_archive_that_tar_has_made_anew_is_taken(tree: Path) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, content in (("./recording.json", ABOUT), ("./sys/a", b"a")):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    assert unpack(gzip.compress(buffer.getvalue())) == {"recording.json": ABOUT, "sys/a": b"a"}
