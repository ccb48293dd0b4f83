# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is answered of one handover: made once, and kept for as long as that handover is served."""

from kexecprepd.core import generation
from kexecprepd.core.origin import Origin, StartedBy
from kexecprepd.core.timestamp import Timestamp
from kexecprepd.daemon.answers import Answers
from kexecprepd.wire.names import MANAGER, interface_xml
from kexecprepd.wire.properties import signatures_of
from tests.support.recordings import FIRST_KERNEL
from tests.support.snapshots import recorded

SIGNATURES = signatures_of(interface_xml(MANAGER), MANAGER)


def answers(number: int = 1) -> Answers:
    """Of the first kernel's tree, as generation `number`."""
    handover = generation.first(recorded(FIRST_KERNEL), "a-boot-id", Timestamp(1, 2))
    origin = Origin(StartedBy.BOOT_LOADER, None)
    return Answers(generation.numbered(handover, number, handover.taken), origin, SIGNATURES)


def test_an_answer_is_made_once() -> None:
    some = answers()
    for name in (
        *("setup_data", "handover", "memory_map", "runtime_map", "excluded_ranges"),
        *("findings", "describe", "properties"),
    ):
        assert getattr(some, name) is getattr(some, name), name


def test_each_property_is_the_same_alone_and_among_all() -> None:
    properties = answers(7).properties
    (every,) = properties.all.unpack()
    assert every["Generation"] == 7
    assert {name: properties.one(name).unpack()[0] for name in SIGNATURES} == every


def test_a_body_can_be_sent_again() -> None:
    some = answers()
    first = some.handover.body.print_(True)
    assert some.handover.body.print_(True) == first
    assert not some.handover.body.is_floating()
