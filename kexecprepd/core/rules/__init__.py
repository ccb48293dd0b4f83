# SPDX-License-Identifier: LGPL-2.1-or-later
"""Applies every rule to a snapshot: what it finds decides whether the map may be handed over."""

from ..finding import Finding, Severity
from ..snapshot import Snapshot
from . import coverage, handed, memory, regions, tables
from .rule import Rule
from .survey import Survey

RULES: tuple[Rule, ...] = (
    *regions.RULES,
    *coverage.RULES,
    *tables.RULES,
    *handed.RULES,
    *memory.RULES,
)
"""All rules, in the order in which findings of one severity are given."""


def validate(snapshot: Snapshot) -> tuple[Finding, ...]:
    """Every finding of every rule, errors first; order and content depend on the snapshot alone.

    O(n log n) in the entries of both maps.
    """
    return _found(snapshot, RULES)


def of_arrival(snapshot: Snapshot) -> tuple[Finding, ...]:
    """Those on what this kernel was handed: all that can be told where it shows no EFI."""
    return _found(snapshot, handed.RULES)


def _found(snapshot: Snapshot, rules: tuple[Rule, ...]) -> tuple[Finding, ...]:
    survey = Survey(snapshot)
    findings = [
        Finding(rule.severity, rule.code, hit.message, rule.hint_for(survey), hit.details)
        for rule in rules
        for hit in rule.check(survey)
    ]
    order = list(Severity)
    return tuple(sorted(findings, key=lambda finding: order.index(finding.severity)))
