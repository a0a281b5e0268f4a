# SPDX-License-Identifier: GPL-2.0-or-later
"""What several reports draw together from a RunResult: checks over all cycles, rules, the end.

Twenty cycles with five checks each are a hundred rows that all say the same. Reports for people
show one row for each kind of check, and single out the cycles in which it did not hold.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from harness.results import Check, LifeOutcome, LifeRecord, RunResult, StageRecord


@dataclass
class CheckGroup:
    """The same check over all cycles of a run."""

    name: str
    oracle: str
    total: int = 0  # how often it was made
    passed: int = 0
    compared: int = 0  # pages, or items
    seconds: float = 0.0
    findings: int = 0
    failed_cycles: list[int] = field(default_factory=list)  # 0 for a check outside all cycles
    known: list[str] = field(default_factory=list)  # known defects that explain failures
    new: int = 0  # failures that none explains
    detail: str = ""  # of the first that did not hold, else of the last one made
    rules: dict[str, int] = field(default_factory=dict)  # rule name: pages excused

    @property
    def good(self) -> bool:
        return self.passed == self.total

    @property
    def as_known(self) -> bool:
        """It did not hold, and nothing in it is new."""
        return not self.good and not self.new


@dataclass
class RuleTotal:
    """An exception rule over all checks of a run."""

    name: str
    reason: str
    uses: int = 0  # pages excused
    checks: list[str] = field(default_factory=list)  # names of the checks that had it


@dataclass(frozen=True)
class LastStage:
    """Where a run stood when it ended."""

    life: LifeRecord
    stage: StageRecord

    @property
    def finished(self) -> bool:
        return self.stage.end is not None


def check_groups(result: RunResult) -> list[CheckGroup]:
    """One group for each name and oracle, in the order of their first appearance."""
    groups: dict[tuple[str, str], CheckGroup] = {}
    for check in result.checks:
        group = groups.setdefault((check.name, check.oracle), CheckGroup(check.name, check.oracle))
        _add(group, check)
    return list(groups.values())


def _add(group: CheckGroup, check: Check) -> None:
    group.total += 1
    group.compared += check.compared
    group.seconds += check.seconds
    group.findings += len(check.findings)
    if check.passed:
        group.passed += 1
        if group.good:
            group.detail = check.detail or group.detail
    else:
        if not group.failed_cycles:
            group.detail = check.detail
        group.failed_cycles.append(check.cycle)
        group.known += [name for name in check.known if name not in group.known]
        group.new += not check.known
    for rule in check.rules:
        group.rules[rule.name] = group.rules.get(rule.name, 0) + rule.uses


def rule_totals(result: RunResult) -> list[RuleTotal]:
    """All rules of the run, those that nobody needed last."""
    totals: dict[str, RuleTotal] = {}
    for check in result.checks:
        for rule in check.rules:
            total = totals.setdefault(rule.name, RuleTotal(rule.name, rule.reason))
            total.uses += rule.uses
            if check.name not in total.checks:
                total.checks.append(check.name)
    return sorted(totals.values(), key=lambda total: total.uses == 0)


def last_stage(result: RunResult) -> LastStage | None:
    """The stage in which the run ended: the last one begun in the last life that had any."""
    for life in reversed(result.lives):
        if life.stages:
            return LastStage(life, life.stages[-1])
    return None


def lost_lives(result: RunResult) -> list[LifeRecord]:
    """Lives that did not end as a life of a good cycle ends."""
    bad = (LifeOutcome.PANIC, LifeOutcome.TRIPLE_FAULT, LifeOutcome.HANG, LifeOutcome.LOST)
    return [life for life in result.lives if life.outcome in bad]


def cycles_begun(result: RunResult) -> int:
    """The highest cycle number that any life belongs to."""
    return max((life.cycle for life in result.lives), default=0)
