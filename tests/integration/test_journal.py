# SPDX-License-Identifier: LGPL-2.1-or-later
"""What systemd's journal is told: entries with fields, and a catalog that explains them."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from kexecprepd.wire.journal import Message
from tests.support.daemon import CHECKOUT, running
from tests.support.journal_socket import Entry, Journal, journal
from tests.support.private_bus import PrivateBus
from tests.support.receipts import add_receipt
from tests.support.recordings import KEXEC_SYSCALL, add_range, materialise, write

from .client import Client

pytestmark = pytest.mark.bus

CATALOG = CHECKOUT / "systemd/kexecprepd.catalog"


@pytest.fixture
def told(top: Path, tree: Path) -> Iterator[Journal]:
    """The journal of the tree's machine, which reads the daemon's standard error."""
    with journal(tree, top / "stderr") as journal_of_tree:
        yield journal_of_tree


def about(message: Message, entries: list[Entry]) -> list[Entry]:
    return [each for each in entries if each.get("MESSAGE_ID") == message]


def test_a_state_and_its_change_are_entries_of_their_own(
    bus: PrivateBus, top: Path, tree: Path, client: Client, told: Journal
) -> None:
    with running(top, tree, {**bus.environment, "JOURNAL_STREAM": told.stream}) as daemon:
        add_range(tree, 8 << 30, (9 << 30) - 1, "System RAM")
        client.call("Refresh")

    entries = told.entries()
    first, second = about(Message.STATE, entries)
    assert (first["KEXECPREPD_GENERATION"], first["KEXECPREPD_STATE"]) == ("1", "ready")
    assert (second["KEXECPREPD_GENERATION"], second["PRIORITY"]) == ("2", "6")
    assert second["MESSAGE"].startswith("Generation 2, ")
    assert {each["SYSLOG_IDENTIFIER"] for each in entries} == {"kexecprepd"}
    assert about(Message.RECEIPT, entries) == []
    assert daemon.stderr == ""


def test_a_receipt_is_an_entry(bus: PrivateBus, top: Path) -> None:
    tree = materialise(KEXEC_SYSCALL, top / "root")
    add_receipt(tree, kexec_count=3)
    with (
        journal(tree, top / "stderr") as told,
        running(top, tree, {**bus.environment, "JOURNAL_STREAM": told.stream}),
    ):
        (entry,) = about(Message.RECEIPT, told.entries())

    assert entry["KEXECPREPD_LOADER"] == "kexecprepctl 0.2"
    assert entry["KEXECPREPD_KEXEC_COUNT"] == "3"


def test_what_the_journal_does_not_take_goes_to_standard_error(
    bus: PrivateBus, top: Path, tree: Path, told: Journal
) -> None:
    environment = {**bus.environment, "JOURNAL_STREAM": told.stream}
    (tree / "run/systemd/journal/socket").unlink()
    with running(top, tree, environment) as daemon:
        pass

    assert "<6>Generation 1, ready: " in daemon.stderr


def test_lines_that_someone_else_reads_stay_where_they_are(
    bus: PrivateBus, top: Path, tree: Path, told: Journal
) -> None:
    with running(top, tree, {**bus.environment, "JOURNAL_STREAM": "1:2"}) as daemon:
        pass

    assert told.entries() == []
    assert "Generation 1, ready: " in daemon.stderr


def test_a_name_of_several_lines_is_told_in_one_entry(
    bus: PrivateBus, top: Path, tree: Path, told: Journal
) -> None:
    # A name can have every character but two; what is told of it can be printed.
    root = tree.parent / "two\nlines"
    tree.rename(root)
    write(root, "sys/firmware/efi/systab", "?\n")
    environment = {**bus.environment, "JOURNAL_STREAM": told.stream}
    with running(top, root, environment):
        (entry,) = about(Message.STATE, told.entries())

    assert f"{tree.parent}/two\\nlines/sys/firmware/efi/systab" in entry["MESSAGE"]


def test_every_message_is_explained_with_the_fields_that_it_has(tmp_path: Path) -> None:
    folder = tmp_path / "usr/lib/systemd/catalog"
    folder.mkdir(parents=True)
    (folder / "kexecprepd.catalog").write_text(CATALOG.read_text())
    (tmp_path / "var/lib/systemd/catalog").mkdir(parents=True)

    def journalctl(*arguments: str) -> str:
        command = ["journalctl", f"--root={tmp_path}", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert done.stderr == ""
        return done.stdout

    journalctl("--update-catalog")
    listed = dict(line.split(" ", 1) for line in journalctl("--list-catalog").splitlines() if line)

    assert set(listed) == set(Message)
    text = CATALOG.read_text()
    assert set(re.findall("@([A-Z_]+)@", text)) == {
        "KEXECPREPD_STATE",
        "KEXECPREPD_GENERATION",
        "KEXECPREPD_KERNEL",
        "KEXECPREPD_LOADER",
    }
