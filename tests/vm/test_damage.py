# SPDX-License-Identifier: LGPL-2.1-or-later
"""A damaged map under the real service: what it says of it to everyone, without an address."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab.guest import Guest

from .machines import ONCE_EACH, on
from .seen import COMMANDS, CTL, WITH_JOURNAL, seen
from .service import MANAGER, Call, ask, call, drop_in, properties

# Two of the four: it takes its time, and neither release nor bus has much to do with it.
pytestmark = [pytest.mark.vm, on(ONCE_EACH)]

COPY = "/run/damage"
DAMAGED = f"""[Service]
BindReadOnlyPaths={COPY}/runtime:/sys/firmware/efi/runtime
BindReadOnlyPaths={COPY}/runtime-map:/sys/firmware/efi/runtime-map
"""


@pytest.fixture(scope="module")
def damaged(guest: Guest) -> Iterator[Guest]:
    """The guest with the daemon seeing a copy of the map, which a test may damage."""
    guest.run(["mkdir", COPY])
    guest.run(["cp", "-r", "/sys/firmware/efi/runtime-map", "/sys/firmware/efi/runtime", COPY])
    with drop_in(guest, "damage", DAMAGED):
        yield guest
    guest.run(["rm", "-r", COPY])


def damage(guest: Guest, path: str, content: str) -> str:
    """Change a file under the daemon, have it look, and return the state that follows."""
    guest.run(["tee", f"{COPY}/{path}"], input=content)
    call(guest, "Refresh")
    state: str = properties(guest, user="tester")["State"]
    return state


def test_kexecprepctl_tells_no_address_while_all_is_well(guest: Guest) -> None:
    text = seen(guest, CTL)
    assert "ready: Yes" in text
    assert "Only root may ask for this" in text


def test_a_degraded_state_tells_no_address(damaged: Guest) -> None:
    # Where the firmware's runtime services table is said to be, there is no region.
    assert damage(damaged, "runtime", "0xffffffff12345678\n") == "degraded"
    assert "with something to know" in seen(damaged, COMMANDS, WITH_JOURNAL)


def test_an_invalid_state_tells_no_address(damaged: Guest) -> None:
    assert damage(damaged, "runtime-map/0/num_pages", "0x0\n") == "invalid"
    assert damage(damaged, "runtime-map/1/phys_addr", "0x12345678\n") == "invalid"
    text = seen(damaged, (*COMMANDS, "kexecprepctl check"), WITH_JOURNAL)
    assert "The runtime map is refused" in text


def test_sysfs_that_cannot_be_read_tells_no_address(damaged: Guest) -> None:
    start = damaged.read_file("/sys/firmware/efi/runtime-map/2/phys_addr").decode().strip()
    assert damage(damaged, "runtime-map/2/phys_addr", f"{start} 0x12345\n") == "invalid"
    assert "Sysfs could not be read" in seen(damaged, COMMANDS, WITH_JOURNAL)


def test_a_refused_map_is_not_handed_over(damaged: Guest) -> None:
    assert damage(damaged, "runtime-map/0/num_pages", "0x0\n") == "invalid"
    (answer,) = ask(damaged, [Call(f"{MANAGER}.GetSetupData")])
    assert answer.error == "org.kexecprepd1.Error.Invalid"
    assert "setup_data" not in damaged.run(["ls", "-R", "/run/kexecprepd"]).stdout.split()
