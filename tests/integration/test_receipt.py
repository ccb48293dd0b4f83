# SPDX-License-Identifier: LGPL-2.1-or-later
"""How this kernel was started, as the daemon tells everyone, and kexecprepctl people."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.daemon import Daemon, running
from tests.support.private_bus import PrivateBus
from tests.support.receipts import NODE, add_receipt, members
from tests.support.recordings import BOOT_PARAMS, KEXEC_SYSCALL, add_setup_data, materialise, remove
from tests.support.schemas import conform

from .client import Client
from .live import as_json, make_live, run_ctl

pytestmark = pytest.mark.bus


@pytest.fixture
def tree(top: Path) -> Path:
    """The root of a second kernel's tree, without a receipt so far."""
    return materialise(KEXEC_SYSCALL, top / "root")


@pytest.fixture
def served(bus: PrivateBus, top: Path, tree: Path) -> Iterator[Daemon]:
    """The daemon of a kernel that was started by kexec for the third time."""
    add_receipt(tree, kexec_count=3)
    with running(top, tree, bus.environment) as daemon:
        yield daemon


def test_the_receipt_is_told_as_it_was_written(served: Daemon, client: Client, tree: Path) -> None:
    properties = client.get_all()

    assert (properties["StartedBy"], properties["KexecCount"]) == ("kexec", 3)
    assert properties["Receipt"] == members(tree, kexec_count=3)
    assert (properties["State"], properties["WarningCount"]) == ("ready", 0)
    assert json.loads(client.call("Describe")) == properties


@pytest.mark.parametrize("payload", [None, b"{", b"[" * (1 << 20)], ids=["none", "bad", "1 MiB"])
def test_a_kexec_without_a_receipt_of_use_has_no_count(
    payload: bytes | None, bus: PrivateBus, top: Path, tree: Path, client: Client
) -> None:
    if payload is not None:
        add_setup_data(tree, NODE, payload)
    with running(top, tree, bus.environment):
        properties = client.get_all()

    assert (properties["StartedBy"], properties["KexecCount"]) == ("kexec", 0)
    assert properties["Receipt"] == {}
    assert properties["WarningCount"] == (0 if payload is None else 1)
    assert len(properties["Sha256"]) == 64


def test_how_the_kernel_was_started_is_known_where_sysfs_cannot_be_read_whole(
    bus: PrivateBus, top: Path, tree: Path, client: Client
) -> None:
    add_receipt(tree)
    remove(tree, "sys/firmware/efi/runtime-map/0")
    with running(top, tree, bus.environment):
        assert client.get("State") == "invalid"
        assert (client.get("StartedBy"), client.get("KexecCount")) == ("kexec", 1)


def test_a_kernel_that_hides_what_it_was_handed_is_of_unknown_origin(
    bus: PrivateBus, top: Path, tree: Path, client: Client
) -> None:
    remove(tree, str(Path(BOOT_PARAMS).parent))
    with running(top, tree, bus.environment):
        assert (client.get("StartedBy"), client.get("KexecCount")) == ("unknown", 0)


def test_status_and_check_tell_of_the_chain(bus: PrivateBus, served: Daemon, tree: Path) -> None:
    make_live(tree)

    status = run_ctl(tree, bus.environment, "status")
    check = run_ctl(tree, bus.environment, "check")
    shown = as_json(run_ctl(tree, bus.environment, "check", "--json=short"))
    conform("check", shown)
    conform("status", as_json(run_ctl(tree, bus.environment, "status", "--json=short")))

    sentence = "kexec, the 4th kernel since power-on (3 kexecs), from boot 4f0c1c1e..., "
    for done in (status, check):
        assert done.returncode == 0
        assert sentence in done.stdout
        assert "by kexecprepctl 0.2; what was handed over is what arrived; " in done.stdout
    assert "After the kexec:" in check.stdout
    assert (shown["origin"]["kexec-count"], shown["origin"]["arrived"]) == (3, True)
