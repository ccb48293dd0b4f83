# SPDX-License-Identifier: LGPL-2.1-or-later
"""Who is root: what is remembered of it, and what never is."""

from collections.abc import Callable

from kexecprepd.core.errors import KexecprepdError
from kexecprepd.wire.callers import ROOTS, Callers, Decision
from kexecprepd.wire.errors import AccessDenied, Failed

Uid = int | KexecprepdError


class Bus:
    """Answers at once where it is told uids, else when `answer` is called."""

    def __init__(self, *uids: Uid) -> None:
        self.uids = list(uids)
        self.asked: list[str] = []
        self.open: list[Callable[[Uid], None]] = []
        self.callers = Callers(self._ask)

    def _ask(self, sender: str, then: Callable[[Uid], None]) -> None:
        self.asked.append(sender)
        if self.uids:
            then(self.uids.pop(0))
        else:
            self.open.append(then)

    def decision(self, sender: str | None) -> Decision:
        """What is decided at once."""
        decisions: list[Decision] = []
        self.callers.decide(sender, decisions.append)
        (decision,) = decisions
        return decision


def test_root_is_asked_for_once() -> None:
    bus = Bus(0)
    assert [bus.decision(":1.1") for _ in range(3)] == [None] * 3
    assert bus.asked == [":1.1"]


def test_a_refusal_is_never_remembered() -> None:
    bus = Bus(1000, KexecprepdError("nobody answered"), 0)
    assert isinstance(bus.decision(":1.1"), AccessDenied)
    assert isinstance(bus.decision(":1.1"), Failed)
    assert bus.decision(":1.1") is None


def test_one_connection_s_uid_says_nothing_of_another_s() -> None:
    bus = Bus(0, 1000)
    assert bus.decision(":1.1") is None
    assert isinstance(bus.decision(":1.10"), AccessDenied)


def test_nobody_in_particular_is_refused_without_a_question() -> None:
    bus = Bus()
    assert isinstance(bus.decision(None), AccessDenied)
    assert isinstance(bus.decision(""), AccessDenied)
    assert bus.asked == []


def test_calls_that_wait_for_one_answer_get_it_in_their_order() -> None:
    bus = Bus()
    decided: list[tuple[str, bool]] = []

    def call(sender: str, name: str) -> None:
        bus.callers.decide(sender, lambda refusal: decided.append((name, refusal is None)))

    for sender, name in ((":1.1", "a"), (":1.2", "x"), (":1.1", "b"), (":1.1", "c")):
        call(sender, name)
    assert bus.asked == [":1.1", ":1.2"]
    bus.open[0](0)
    assert decided == [("a", True), ("b", True), ("c", True)]
    bus.open[1](1000)
    assert decided[3:] == [("x", False)]


def test_only_so_many_are_remembered_and_the_silent_ones_are_forgotten_first() -> None:
    bus = Bus(*[0] * (2 * ROOTS))
    names = [f":1.{number}" for number in range(ROOTS)]
    for name in names:
        bus.decision(name)
    bus.decision(names[0])
    assert bus.asked == names

    bus.decision(":1.new")
    bus.decision(names[0])
    assert bus.asked[ROOTS:] == [":1.new"]
    bus.decision(names[1])
    assert bus.asked[ROOTS:] == [":1.new", names[1]]


def test_a_timeout_is_told_in_words() -> None:
    decision = Bus(KexecprepdError("Timeout was reached")).decision(":1.1")
    assert decision is not None
    assert decision.sentence == (
        "The bus did not tell who is calling, so nothing was done: Timeout was reached. Try again."
    )
    assert not decision.denied
