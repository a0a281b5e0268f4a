# SPDX-License-Identifier: GPL-2.0-or-later
"""The one verdict of a run, and how it becomes a process exit code.

Every output (text, JSON, KTAP, JUnit, HTML) prints ``Verdict.value`` as it stands here.
"""

from __future__ import annotations

import enum


class Verdict(enum.Enum):
    """How a run ended. INFRA: the rig failed, not the kernel. BUILD: no kernel to run.

    XFAIL: failed as a finding in docs/findings says. XPASS: that finding did not show, or a fault
    that the rig put in, so the kernel was fixed or the rig went blind; somebody has to look.
    """

    PASS = "PASS"
    FAIL = "FAIL"
    SKIP = "SKIP"
    XFAIL = "XFAIL"
    XPASS = "XPASS"
    HANG = "HANG"
    PANIC = "PANIC"
    INFRA = "INFRA"
    BUILD = "BUILD"

    @property
    def good(self) -> bool:
        """True where nothing has to be looked at."""
        return self in (Verdict.PASS, Verdict.XFAIL, Verdict.SKIP)


class ExitStyle(enum.Enum):
    """Who reads the exit code: a shell, kselftest's runner, or ``git bisect run``."""

    PLAIN = "plain"
    KSELFTEST = "kselftest"
    BISECT = "bisect"


_PLAIN = {
    Verdict.PASS: 0,
    Verdict.FAIL: 1,
    Verdict.SKIP: 4,
    Verdict.XFAIL: 0,
    Verdict.XPASS: 3,
    Verdict.HANG: 6,
    Verdict.PANIC: 7,
    Verdict.INFRA: 8,
    Verdict.BUILD: 9,
}

# tools/testing/selftests/kselftest.h: KSFT_PASS 0, KSFT_FAIL 1, KSFT_XFAIL 2, KSFT_XPASS 3,
# KSFT_SKIP 4.
_KSELFTEST = {
    Verdict.PASS: 0,
    Verdict.FAIL: 1,
    Verdict.SKIP: 4,
    Verdict.XFAIL: 2,
    Verdict.XPASS: 3,
    Verdict.HANG: 1,
    Verdict.PANIC: 1,
    Verdict.INFRA: 4,
    Verdict.BUILD: 4,
}

BISECT_GOOD = 0
BISECT_BAD = 1
BISECT_SKIP = 125  # git-bisect(1): "the current source code cannot be tested"


def exit_code(verdict: Verdict, style: ExitStyle, *, target_reached: bool) -> int:
    """The process exit code for ``verdict``.

    ``target_reached``: whether the stage under test had begun. A kernel that dies before it says
    nothing about the bug that is being bisected, so bisect style answers 125 ("skip") for it.
    """
    if style is ExitStyle.PLAIN:
        return _PLAIN[verdict]
    if style is ExitStyle.KSELFTEST:
        return _KSELFTEST[verdict]
    if verdict in (Verdict.PASS, Verdict.XFAIL, Verdict.XPASS):
        return BISECT_GOOD
    if verdict in (Verdict.FAIL, Verdict.PANIC, Verdict.HANG) and target_reached:
        return BISECT_BAD
    return BISECT_SKIP
