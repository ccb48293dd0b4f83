# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is remembered of a load: whole, for root alone, and nothing else is taken for it."""

import fcntl
import json
import os
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kexecprepd.loader import request
from kexecprepd.loader.errors import LoadError
from kexecprepd.loader.request import File, Loaded
from tests.support.remembered import LOADED

BY_ENTRY = replace(
    LOADED.request,
    others=(File("/boot/initrd", "23" * 32),),
    cmdline="root=/dev/sda1 name=\udcff",
    syscall="file",
    profile="1",
    entry="debian.conf",
    default=True,
    ahead=True,
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "run").mkdir()
    return tmp_path


def kept(root: Path, loaded: Loaded) -> Path:
    with request.alone(root):
        request.keep(root, loaded)
    return request.path_of(root)


@pytest.mark.parametrize(
    "loaded",
    [
        LOADED,
        replace(LOADED, generation=None, efi=False),
        replace(LOADED, request=replace(LOADED.request, append=None, initrds=())),
        replace(LOADED, request=BY_ENTRY, syscall="file"),
    ],
    ids=["all of it", "without a daemon", "a kernel alone", "by an entry"],
)
def test_what_is_kept_comes_back(root: Path, loaded: Loaded) -> None:
    kept(root, loaded)

    assert request.read(root) == loaded


def test_it_is_for_root_alone(root: Path) -> None:
    path = kept(root, LOADED)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_the_names_are_those_of_the_manual(root: Path) -> None:
    content = json.loads(kept(root, LOADED).read_text())

    assert content["format"] == 1
    assert set(content) == {
        "format",
        "boot-id",
        "efi",
        "handover-sha256",
        "generation",
        "loaded-at",
        "request",
        "syscall",
    }
    asked = content["request"]
    files, options = {"kernel", "initrds", "others"}, {"append", "reuse-cmdline", "cmdline"}
    assert set(asked) == files | options | {
        "efi",
        "receipt",
        "syscall",
        "profile",
        "entry",
        "default",
        "ahead",
    }


def test_nothing_else_stays_beside_it(root: Path) -> None:
    path = kept(root, LOADED)
    kept(root, LOADED)

    assert [each.name for each in path.parent.iterdir()] == [path.name]
    request.forget(root)
    request.forget(root)
    assert request.read(root) is None


def test_nothing_is_remembered_at_first(root: Path) -> None:
    assert request.read(root) is None


def damaged(content: dict[str, Any], *way: str, value: Any) -> str:
    at = content
    for name in way[:-1]:
        at = at[name]
    at[way[-1]] = value
    return json.dumps(content)


@pytest.mark.parametrize(
    ("way", "value"),
    [
        (("format",), 2),
        (("format",), True),
        (("boot-id",), None),
        (("handover-sha256",), 7),
        (("generation",), "3"),
        (("request",), []),
        (("request", "kernel"), "/boot/vmlinuz"),
        (("request", "kernel", "path"), None),
        (("request", "initrds"), {}),
        (("request", "efi"), 1),
    ],
)
def test_what_is_not_of_its_form_is_refused(root: Path, way: tuple[str, ...], value: Any) -> None:
    path = kept(root, LOADED)
    path.write_text(damaged(json.loads(path.read_text()), *way, value=value))

    with pytest.raises(LoadError, match="is damaged"):
        request.read(root)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff", b"[" * 100_000])
def test_what_is_no_record_is_refused(root: Path, content: bytes) -> None:
    kept(root, LOADED).write_bytes(content)

    with pytest.raises(LoadError, match="is damaged") as raised:
        request.read(root)
    assert "Load again" in raised.value.hint


def test_a_link_in_the_place_of_its_directory_is_not_followed(root: Path) -> None:
    (root / "elsewhere").mkdir()
    (root / "run/kexecprepctl").symlink_to(root / "elsewhere")

    with pytest.raises(LoadError, match="cannot be used"), request.alone(root):
        pass
    assert list((root / "elsewhere").iterdir()) == []


def test_whoever_is_alone_keeps_the_others_waiting(root: Path) -> None:
    with request.alone(root):
        other = os.open(request.path_of(root).parent, os.O_RDONLY)
        try:
            with pytest.raises(BlockingIOError):
                fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        finally:
            os.close(other)
