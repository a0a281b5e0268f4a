# SPDX-License-Identifier: GPL-2.0-or-later
"""What the kernel returned for each call, held against the model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from harness.kexec.calls import Call
from harness.kexec.model import Answer
from harness.results import Check, Finding

ORACLE = "kexec-errno"
LISTED = 32  # findings of one check that are written out; all are counted


def check_answers(
    name: str, stage: str, life: int, made: Sequence[tuple[Call, Answer, str]]
) -> Check:
    """``made``: each call with what the model expects of it and what the kernel said."""
    wrong = [(call, want, got) for call, want, got in made if want.error != got]
    check = Check(name, ORACLE, not wrong, compared=len(made))
    by_check = Counter(want.check for _, want, _ in made if want.check)
    check.detail = f"{len(made)} calls, {len(made) - by_check.total()} accepted; refused by " + (
        ", ".join(f"{name} {count}" for name, count in sorted(by_check.items())) or "none"
    )
    if wrong:
        check.detail = f"{len(wrong)} of {len(made)} calls returned something else"
    for call, want, got in wrong[:LISTED]:
        message = (
            f"{call.name}: expected {_text(want.error)} ({want.where}), found {_text(got)}; "
            f"the call: {call.text}"
        )
        check.findings.append(Finding(ORACLE, stage, message, life=life))
    return check


def _text(error: str) -> str:
    return "success" if error == "0" else error
