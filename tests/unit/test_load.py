# SPDX-License-Identifier: LGPL-2.1-or-later
"""What `kexecprepctl load` makes of the files and of the command line that it is given."""

import os
import signal
import threading
from argparse import Namespace
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from kexecprepd.ctl.uninterrupted import uninterrupted
from kexecprepd.ctl.wanted import Wanted, read_wanted, request_of
from kexecprepd.loader import addons
from kexecprepd.loader.cmdline import without_boot_loaders
from kexecprepd.loader.errors import LoadError
from tests.support.kernels import bzimage, uki
from tests.support.recordings import write
from tests.support.wanted import OPTIONS, wanted


def test_initrds_are_joined_in_the_order_in_which_they_are_given(tmp_path: Path) -> None:
    found = wanted(tmp_path, bzimage(), b"one!", b"two!", b"three!!!")

    assert found.initrd is not None
    assert bytes(found.initrd) == b"one!two!three!!!"
    assert not found.unified


def test_without_any_there_is_no_initrd_and_no_command_line(tmp_path: Path) -> None:
    found = wanted(tmp_path, bzimage())

    assert (found.initrd, found.cmdline) == (None, "")


UNIFIED = uki((".linux", bzimage()), (".initrd", b"own!"), (".cmdline", b"its own"))


def test_a_unified_kernel_s_own_initrd_comes_first(tmp_path: Path) -> None:
    found = wanted(tmp_path, UNIFIED, b"mine")

    assert found.initrd is not None
    assert bytes(found.initrd) == b"own!mine"
    assert found.unified


def test_a_unified_kernel_s_own_command_line_gives_way_to_one_that_is_given(tmp_path: Path) -> None:
    write(tmp_path, "proc/cmdline", "BOOT_IMAGE=x reused\n")

    assert wanted(tmp_path, UNIFIED).cmdline == "its own"
    assert wanted(tmp_path, UNIFIED, append="mine").cmdline == "mine"
    assert wanted(tmp_path, UNIFIED, append="").cmdline == ""
    assert wanted(tmp_path, UNIFIED, reuse_cmdline=True).cmdline == "reused"


@pytest.mark.parametrize(
    ("cmdline", "expected"),
    [
        ("BOOT_IMAGE=/vmlinuz root=/dev/sda1 quiet\n", "root=/dev/sda1 quiet"),
        ("root=/dev/sda1 BOOT_IMAGE=/vmlinuz  quiet", "root=/dev/sda1 quiet"),
        (r"initrd=\EFI\initrd root=/dev/sda1 rd.initrd=1", "root=/dev/sda1 rd.initrd=1"),
        ("MY_BOOT_IMAGE=1 x", "MY_BOOT_IMAGE=1 x"),
        ('dyndbg="file a +p; BOOT_IMAGE=b" x', 'dyndbg="file a +p; BOOT_IMAGE=b" x'),
        ('x y="never closed BOOT_IMAGE=b', 'x y="never closed BOOT_IMAGE=b'),
        ("BOOT_IMAGE=/vmlinuz\n", ""),
        ("\n", ""),
    ],
)
def test_what_a_boot_loader_says_of_its_own_is_not_reused(cmdline: str, expected: str) -> None:
    assert without_boot_loaders(cmdline) == expected


@pytest.fixture(params=["alone", "beside another thread"])
def _threads(request: pytest.FixtureRequest) -> Iterator[None]:
    """As the program is without the bus, and as it is with GDBus' thread, which takes signals."""
    end = threading.Event()
    thread = threading.Thread(target=end.wait)
    if request.param != "alone":
        thread.start()
    yield
    end.set()
    if request.param != "alone":
        thread.join()


@pytest.mark.usefixtures("_threads")
def test_no_signal_comes_between_a_load_and_what_is_remembered_of_it() -> None:
    done = False

    with pytest.raises(KeyboardInterrupt), uninterrupted():  # noqa: PT012 # that is the point
        os.kill(os.getpid(), signal.SIGINT)
        done = True

    assert done
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_the_running_kernel_s_command_line_and_more_are_joined(tmp_path: Path) -> None:
    write(tmp_path, "proc/cmdline", "BOOT_IMAGE=x root=/dev/sda1\n")

    found = wanted(tmp_path, bzimage(), reuse_cmdline=True, append="single")

    assert found.cmdline == "root=/dev/sda1 single"


@pytest.mark.parametrize(
    ("initrd", "words"),
    [
        (bzimage(), "it is a kernel"),
        (b"#!/bin/sh\n", "a script"),
        (b"noise" * 10, "neither a cpio archive nor compressed"),
        (b"070701", ""),
        (b"\0\0\0\x28\xb5\x2f\xfd", ""),
    ],
)
def test_an_initrd_that_looks_like_none_is_noted(tmp_path: Path, initrd: bytes, words: str) -> None:
    notes = wanted(tmp_path, bzimage(), initrd).notes

    assert [words in note for note in notes] == ([True] if words else [])


def test_what_was_asked_for_names_files_by_absolute_paths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, content in (("kernel", bzimage()), ("initrd", b"070701")):
        (tmp_path / name).write_bytes(content)
    options = Namespace(**{**OPTIONS, "kernel": Path("kernel"), "initrd": [Path("initrd")]})
    with read_wanted(options) as found:
        asked = request_of(found, options)

    assert asked.kernel.path == os.fspath(tmp_path / "kernel")
    assert asked.initrds[0].path == os.fspath(tmp_path / "initrd")


def put(path: Path, content: bytes | str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.fixture
def esp(tmp_path: Path) -> Path:
    """A partition with a unified kernel image that has add-ons of its own, and ones for all."""
    sections = ((".ucode", b"own_ucod"), (".initrd", b"own_init"), (".uname", b"6.1"))
    image = uki((".linux", bzimage()), (".cmdline", b"own"), *sections, (".pcrsig", b"{}"))
    put(tmp_path / "EFI/Linux/linux+3-1.efi", image)
    extra = tmp_path / "EFI/Linux/linux.efi.extra.d"
    put(extra / "b.addon.efi", uki((".cmdline", b"b"), (".ucode", b"ucode_b_"), (".uname", b"6.1")))
    put(extra / "a.addon.efi", uki((".cmdline", b"a"), (".initrd", b"initrd_a")))
    put(extra / "c.addon.efi", uki((".cmdline", b"c"), (".uname", b"6.2")))
    put(extra / "secret.cred", "x")
    put(tmp_path / "loader/addons/z.addon.efi", uki((".cmdline", b"all"), (".ucode", b"ucode_z_")))
    return tmp_path


def of_esp(esp: Path, **options: object) -> Wanted:
    path = esp / "EFI/Linux/linux+3-1.efi"
    return wanted(esp, path.read_bytes(), path=path, **options)


def test_add_ons_are_joined_as_the_firmware_s_stub_joins_them(esp: Path) -> None:
    found = of_esp(esp)

    assert found.cmdline == "own all a b"
    assert found.initrd is not None
    assert bytes(found.initrd) == b"ucode_b_ucode_z_own_ucodown_initinitrd_a"
    assert [Path(each.path).name for each in found.others] == [
        "z.addon.efi",
        "a.addon.efi",
        "b.addon.efi",
    ]


def test_what_is_left_out_of_an_image_and_beside_it_is_noted(esp: Path) -> None:
    notes = " ".join(of_esp(esp).notes)

    assert "c.addon.efi is left out: it is for Linux 6.2" in notes
    assert "secret.cred" in notes
    assert ".pcrsig" in notes
    assert "ask for its password" in notes


def test_a_command_line_that_runs_already_has_its_add_ons(esp: Path) -> None:
    write(esp, "proc/cmdline", "own all a b\n")

    assert of_esp(esp, reuse_cmdline=True).cmdline == "own all a b"
    assert of_esp(esp, append="mine").cmdline == "mine all a b"


def test_an_add_on_that_is_an_image_itself_is_refused(esp: Path) -> None:
    put(esp / "loader/addons/y.addon.efi", uki((".linux", bzimage())))

    with pytest.raises(LoadError, match=r"y\.addon\.efi is a unified kernel image itself"):
        of_esp(esp)


def test_an_add_on_for_a_profile_alone_is_refused(esp: Path) -> None:
    put(esp / "loader/addons/y.addon.efi", uki((".profile", b"ID=x"), (".cmdline", b"debug")))

    with pytest.raises(LoadError, match=r"y\.addon\.efi is a unified kernel image itself"):
        of_esp(esp)


def test_where_a_kernel_names_no_release_no_add_on_is_for_another(tmp_path: Path) -> None:
    path = tmp_path / "a.addon.efi"
    path.write_bytes(uki((".cmdline", b"debug"), (".uname", b"6.2")))

    with ExitStack() as stack:
        found, notes = addons.read([path], None, stack)

    assert ([each.cmdline for each in found], notes) == (["debug"], [])


PROFILES = (
    (".linux", bzimage()),
    (".cmdline", b"base"),
    (".profile", b"ID=main\nTITLE=Main"),
    (".profile", b'ID=reset\nTITLE="Factory reset"'),
    (".cmdline", b"reset"),
)


@pytest.mark.parametrize(
    ("profile", "line", "told"),
    [
        (None, "base", "0 (main), Main"),
        ("0", "base", "0 (main), Main"),
        ("1", "reset", "1 (reset), Factory reset"),
        ("reset", "reset", "1 (reset), Factory reset"),
    ],
)
def test_a_profile_is_taken_by_its_number_or_its_id(
    tmp_path: Path, profile: str | None, line: str, told: str
) -> None:
    found = wanted(tmp_path, uki(*PROFILES), profile=profile)

    assert (found.cmdline, found.profile) == (line, told)


def test_a_profile_that_there_is_not_is_answered_with_those_that_there_are(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match="no profile 2") as raised:
        wanted(tmp_path, uki(*PROFILES), profile="2")
    assert "1 (reset), Factory reset" in raised.value.hint
    with pytest.raises(LoadError, match="has no profiles"):
        wanted(tmp_path, bzimage(), profile="0")


def test_a_stub_of_lanzaboote_is_called_that_and_its_kernel_is_named(tmp_path: Path) -> None:
    stub = uki((".linux", rb"\EFI\nixos\kernel.efi"), (".linuxh", b"x" * 32), (".cmdline", b"y"))

    with pytest.raises(LoadError, match="stub of lanzaboote") as raised:
        wanted(tmp_path, stub)
    assert r"\EFI\nixos\kernel.efi" in str(raised.value)
