# SPDX-License-Identifier: LGPL-2.1-or-later
"""Tells whether a caller is root: the bus is asked once for each connection, and nobody waits.

A unique name stands for one connection and is not used again while the bus lives (D-Bus
Specification, "Message Bus Names"), and a connection keeps its uid: so what has been told of one
needs no second question. Only uid 0 is remembered, and only so many of them.
"""

from collections.abc import Callable
from functools import partial

from ..core.errors import KexecprepdError
from .errors import AccessDenied, BusError, Failed

ROOTS = 256
"""How many connections of root's are remembered; of more, those that have been silent longest are
asked for again."""

Decision = BusError | None
"""A refusal, or None for root."""

Ask = Callable[[str, Callable[[int | KexecprepdError], None]], None]
"""Asks whose connection a unique name is; calls back, later or at once, with the uid or with why
that is not known."""


class Callers:
    """Who of those that call is uid 0."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._roots: dict[str, None] = {}  # the one that was silent longest comes first
        self._waiting: dict[str, list[Callable[[Decision], None]]] = {}

    def decide(self, sender: str | None, then: Callable[[Decision], None]) -> None:
        """Call `then` with the decision on `sender`, in the order of its calls: at once where it is
        known, else when the bus has told.
        """
        if not sender:
            then(AccessDenied("The bus does not tell who is calling."))
        elif sender in self._roots:
            self._remember(sender)
            then(None)
        else:
            waiting = self._waiting.setdefault(sender, [])
            waiting.append(then)
            if len(waiting) == 1:
                self._ask(sender, partial(self._told, sender))

    def _told(self, sender: str, uid: int | KexecprepdError) -> None:
        refusal: Decision = None
        if isinstance(uid, KexecprepdError):
            why = uid.reason.rstrip(".")
            refusal = Failed(
                f"The bus did not tell who is calling, so nothing was done: {why}. Try again."
            )
        elif uid != 0:
            refusal = AccessDenied(
                "This is for root alone: it tells physical addresses, or steers the daemon."
            )
        else:
            self._remember(sender)
        for then in self._waiting.pop(sender):
            then(refusal)

    def _remember(self, sender: str) -> None:
        self._roots.pop(sender, None)
        self._roots[sender] = None
        if len(self._roots) > ROOTS:
            del self._roots[next(iter(self._roots))]
