# SPDX-License-Identifier: GPL-2.0-or-later
"""How many random changes of single instructions the check notices, and why not the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import jumpback_relocate as jr

from harness.errors import InfraError, UsageError
from harness.relocate.subject import Subject
from harness.verdict import Verdict

_AT_A_TIME = 10


@dataclass(frozen=True)
class MutationRun:
    """``executed``: instructions of the code that some case executes."""

    subject: Subject
    seed: int
    cases: int
    instructions: int
    executed: int
    results: list[jr.MutantResult]
    left_out: list[str] = field(default_factory=list)  # functions that no case runs

    @property
    def caught(self) -> list[jr.MutantResult]:
        return [result for result in self.results if result["caught"]]

    @property
    def survivors(self) -> list[jr.MutantResult]:
        return [result for result in self.results if not result["caught"]]

    @property
    def fates(self) -> Counter[str]:
        return Counter(result["fate"] for result in self.results)

    @property
    def unexplained(self) -> list[jr.MutantResult]:
        return [result for result in self.survivors if not result["explained"]]

    @property
    def verdict(self) -> Verdict:
        return Verdict.FAIL if self.unexplained else Verdict.PASS

    @property
    def reason(self) -> str:
        if not self.unexplained:
            return f"{len(self.caught)} of {len(self.results)} caught, the others explained"
        return (
            f"{len(self.unexplained)} survivors without an explanation: holes in the check, or to "
            f"be explained by hand"
        )


def run(
    subject: Subject, count: int, seed: int, tick: Callable[[int], None] | None = None
) -> MutationRun:
    """Raises UsageError where the code fails unchanged, InfraError."""
    try:
        plan = jr.MutationPlan(subject.vmlinux, seed)
    except jr.RelocateError as error:
        raise UsageError(f"--mutants needs a kernel that passes: {error}") from error
    try:
        results: list[jr.MutantResult] = []
        while len(results) < count:
            results += plan.run(len(results), min(_AT_A_TIME, count - len(results)))
            if tick is not None:
                tick(len(results))
    except jr.RelocateError as error:
        raise InfraError(str(error)) from error
    return MutationRun(
        subject, seed, plan.cases, plan.instructions, plan.executed, results, plan.left_out
    )
