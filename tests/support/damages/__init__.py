# SPDX-License-Identifier: LGPL-2.1-or-later
"""The damages that make each rule fire: by the rule's code, and by a name of their own."""

from functools import cache

from kexecprepd.core.snapshot import Snapshot
from kexecprepd.core.verdict import Assessment, assess

from . import coverage, handed, memory, regions, tables
from .damage import Damage

DAMAGE: dict[str, dict[str, Damage]] = {
    **regions.DAMAGE,
    **coverage.DAMAGE,
    **tables.DAMAGE,
    **handed.DAMAGE,
    **memory.DAMAGE,
}

CASES = [(code, name) for code, cases in DAMAGE.items() for name in cases]
"""Each damage's code and name."""


@cache
def damaged(code: str, name: str) -> Snapshot:
    """What is read of a recording with that damage: made once, for every test that looks at it."""
    return DAMAGE[code][name].read()


@cache
def judged(code: str, name: str) -> Assessment:
    """The verdict on a recording with that damage, made once as well."""
    return assess(damaged(code, name))
