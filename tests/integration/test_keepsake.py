# SPDX-License-Identifier: LGPL-2.1-or-later
"""What systemd keeps of the daemon's knowledge: over a restart, and over a kexec to the next."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.support.daemon import CHECKOUT, Daemon, running
from tests.support.file_store import ALL_SEALS, NAME, Kept, given
from tests.support.notify_socket import DEADLINE
from tests.support.private_bus import PrivateBus
from tests.support.receipts import FROM, members
from tests.support.recordings import BOOT_ID, KEXEC_FILE, materialise, remove
from tests.support.schemas import conform

from .client import Client
from .hotplug import plug
from .live import as_json, make_live, on_machine, run_ctl

pytestmark = pytest.mark.bus


def with_store(bus: PrivateBus) -> Mapping[str, str]:
    """The environment of a service whose files systemd keeps."""
    return {**bus.environment, "FDSTORE": "2"}


def kept_of(daemon: Daemon) -> tuple[Kept, dict[str, Any]]:
    """The one file that systemd keeps, as it gives it back, and what is in it."""
    daemon.notify.drain()
    assert list(daemon.notify.stored) == [NAME]
    (file,) = daemon.notify.stored[NAME]
    return Kept(file.content, file.seals), json.loads(file.content)


def left_by_the_one_before(root: Path, **changes: Any) -> Kept:
    """The file that goes with a tree, with these changes."""
    return Kept(json.dumps({**members(root, had=None, **changes), "kept": True}).encode())


@pytest.fixture
def second(top: Path) -> Path:
    """The root of a kernel that kexec_file_load has started, where there is no receipt."""
    return materialise(KEXEC_FILE, top / "root")


def test_a_first_kernel_has_kept_what_the_next_should_know(
    bus: PrivateBus, top: Path, tree: Path, client: Client
) -> None:
    with running(top, tree, with_store(bus)) as daemon:
        file, content = kept_of(daemon)
        properties = client.get_all()

    assert file.seals == ALL_SEALS
    assert content.pop("loaded-at") == properties["SnapshotTimestamp"]
    assert content == {
        "format": 1,
        "from-boot-id": BOOT_ID,
        "sha256": properties["Sha256"],
        "region-count": properties["RegionCount"],
        "loader": f"kexecprepd {properties['Version']}",
        "kexec-count": 1,
        "generation": 1,
        "kept": True,
    }


def test_a_change_takes_the_place_of_what_was_kept(
    bus: PrivateBus, top: Path, tree: Path, client: Client
) -> None:
    with running(top, tree, with_store(bus)) as daemon:
        plug(tree)
        client.call("Refresh")
        _, content = kept_of(daemon)

    assert content["generation"] == 2


def test_without_a_store_nothing_is_given(bus: PrivateBus, top: Path, tree: Path) -> None:
    with running(top, tree, bus.environment) as daemon:
        assert not [each for each in daemon.notify.drain() if "FDSTORE" in each]


def test_the_next_kernels_daemon_finds_it_and_says_so(
    bus: PrivateBus, top: Path, second: Path, client: Client
) -> None:
    make_live(second)
    left = {**members(second, kexec_count=2, had=None), "loader": "kexecprepd 0.2", "kept": True}
    wrapper = given([Kept(json.dumps(left).encode())])
    with running(top, second, with_store(bus), wrapper=wrapper) as daemon:
        properties = client.get_all()
        status = run_ctl(second, bus.environment, "status")
        check = as_json(run_ctl(second, bus.environment, "check", "--json=short"))
        conform("check", check)
        conform("status", as_json(run_ctl(second, bus.environment, "status", "--json=short")))
        metrics = run_ctl(second, bus.environment, "metrics")
        _, content = kept_of(daemon)
        told = daemon.stderr

    assert (properties["StartedBy"], properties["KexecCount"]) == ("kexec", 2)
    assert properties["Receipt"] == left
    assert (properties["State"], properties["WarningCount"]) == ("ready", 0)
    assert "by what kexecprepd 0.2 left there; what that kernel had is what arrived" in (
        status.stdout
    )
    assert (check["origin"]["kexec-count"], check["origin"]["arrived"]) == (2, True)
    assert "kexecprepd_kexecs 2\n" in metrics.stdout
    assert "kexecprepd_handover_arrived 1\n" in metrics.stdout
    assert f"with what systemd kept of kexecprepd 0.2 from boot {FROM}" in told
    assert (content["from-boot-id"], content["kexec-count"]) == (BOOT_ID, 3)


def test_a_restart_still_knows_the_kernel_before(
    bus: PrivateBus, top: Path, second: Path, client: Client
) -> None:
    left = left_by_the_one_before(second, kexec_count=2)
    with running(top, second, with_store(bus), wrapper=given([left])) as daemon:
        before = client.get_all()
        file, _ = kept_of(daemon)

    with running(top, second, with_store(bus), wrapper=given([file])) as daemon:
        assert client.get_all() == before
        # It is kept already.
        assert not [each for each in daemon.notify.drain() if "FDSTORE" in each]


def test_a_change_of_the_map_takes_nothing_of_it_away(
    bus: PrivateBus, top: Path, second: Path, client: Client
) -> None:
    left = left_by_the_one_before(second, sha256="ab" * 32)
    with running(top, second, with_store(bus), wrapper=given([left])):
        before = client.get_all()["Receipt"]
        plug(second)
        client.call("Refresh")
        after = client.get_all()
        findings = client.call("GetFindings")

    assert (after["Generation"], after["Receipt"]) == (2, before)
    assert ("warning", "keepsake-differs") in {each[:2] for each in findings}


def test_what_is_of_no_use_beside_what_is_our_own_goes_and_is_told(
    bus: PrivateBus, top: Path, second: Path
) -> None:
    with running(top, second, with_store(bus)) as daemon:
        file, content = kept_of(daemon)

    with running(top, second, with_store(bus), wrapper=given([Kept(b"{"), file])) as daemon:
        assert kept_of(daemon) == (file, content)
        assert "What systemd kept for the daemon cannot be used: it is not JSON." in daemon.stderr


def test_files_that_systemd_names_and_does_not_pass_are_not_taken_from_the_bus(
    bus: PrivateBus, top: Path, second: Path, client: Client
) -> None:
    nothing = ("sh", "-c", 'LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES="$0" exec "$@"', NAME)
    with running(top, second, with_store(bus), wrapper=nothing):
        assert client.get_all()["State"] == "ready"


@pytest.mark.parametrize(
    "file",
    [Kept(b"{"), Kept(b" " * 10_000), Kept(b"{}", seals=0), Kept(b'{"format": 2}'), Kept(None)],
    ids=["damaged", "oversized", "unsealed", "of the future", "no file of memory"],
)
def test_what_cannot_be_used_is_noted_and_nothing_breaks(
    file: Kept, bus: PrivateBus, top: Path, second: Path, client: Client
) -> None:
    with running(top, second, with_store(bus), wrapper=given([file])) as daemon:
        properties = client.get_all()
        findings = client.call("GetFindings")
        _, content = kept_of(daemon)

    assert (properties["State"], properties["Receipt"]) == ("ready", {})
    assert ("info", "keepsake-unusable") in {each[:2] for each in findings}
    # How many kexecs there were is not known, nor in the kernel after this one.
    assert "kexec-count" not in content


_WHAT_LOAD_TELLS = """
import sys
from argparse import Namespace
from pathlib import Path

from kexecprepd.ctl.here import HERE
from kexecprepd.ctl.ways import prepare
from kexecprepd.loader.syscall import Call
from tests.support.kernels import bzimage
from tests.support.wanted import wanted

options = Namespace(root=HERE, no_efi=sys.argv[2] == "--no-efi", no_receipt=False)
plan = prepare(Call.LOAD, wanted(Path(sys.argv[1]), bzimage()), options).plan
whole = b"".join(segment.data for segment in plan.segments)
start = whole.index(b'{"format"')
print(whole[start : whole.index(b"}", start) + 1].decode())
"""


@pytest.mark.parametrize("how", ["with EFI", "--no-efi", "EFI was lost"])
def test_a_load_by_the_other_call_goes_on_counting(
    how: str, bus: PrivateBus, top: Path, second: Path
) -> None:
    make_live(second)
    left = left_by_the_one_before(second, kexec_count=2)
    if how == "EFI was lost":
        remove(second, "sys/firmware/efi")
    with running(top, second, with_store(bus), wrapper=given([left])):
        # Sysfs tells of a kexec, and of no receipt: only the daemon knows how many there were.
        done = subprocess.run(
            on_machine(second, sys.executable, "-c", _WHAT_LOAD_TELLS, str(top), how),
            env={**bus.environment, "PYTHONPATH": str(CHECKOUT)},
            capture_output=True,
            text=True,
            timeout=DEADLINE,
        )

    assert done.stderr == ""
    told = json.loads(done.stdout)
    assert (told["from-boot-id"], told["kexec-count"]) == (BOOT_ID, 3)
    assert "kept" not in told
