# SPDX-License-Identifier: GPL-2.0-or-later
"""What a run says to a machine: ``jumpback relocate-check --json``."""

from __future__ import annotations

from typing import Any

from harness.relocate.cases import Checked
from harness.relocate.mutants import MutationRun
from harness.relocate.subject import Subject
from harness.relocate.text import command

SCHEMA = "jumpback.relocate/1"
MUTANTS_SCHEMA = "jumpback.relocate-mutants/1"


def _kernel(subject: Subject) -> dict[str, Any]:
    target = subject.target
    return {
        "name": subject.name,
        "release": target.release,
        "arch": subject.arch,
        "vmlinux": str(subject.vmlinux),
        "generation": target.generation,
        "notes": target.notes,
        "fixed": sorted(subject.fixed),
    }


def to_json(checked: Checked) -> dict[str, Any]:
    plan = checked.plan
    fault = {"name": plan.break_name, "changed": checked.changed, "blamed": checked.blamed}
    return {
        "schema": SCHEMA,
        "kernel": _kernel(checked.subject),
        "verdict": checked.verdict.value,
        "reason": checked.reason,
        "seed": plan.seed,
        "pages": plan.pages,
        "both_ways": plan.both_ways,
        "seconds": round(checked.seconds, 3),
        "break": fault if plan.break_name else None,
        "tally": checked.tally,
        "shown": [
            {"index": index, "command": command(checked.subject, plan, index), **shown}
            for index, shown in checked.shown
        ],
        "others": [command(checked.subject, plan, index) for index in checked.others],
    }


def mutants_to_json(run: MutationRun) -> dict[str, Any]:
    return {
        "schema": MUTANTS_SCHEMA,
        "kernel": _kernel(run.subject),
        "verdict": run.verdict.value,
        "reason": run.reason,
        "seed": run.seed,
        "cases": run.cases,
        "instructions": {"all": run.instructions, "executed": run.executed},
        "left_out": run.left_out,
        "caught": len(run.caught),
        "mutants": run.results,
    }
