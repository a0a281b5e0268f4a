# SPDX-License-Identifier: GPL-2.0-or-later
"""Exit codes: what git bisect, kselftest and a shell are told, and that the docs say the same."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest

from harness.verdict import BISECT_SKIP, ExitStyle, Verdict, exit_code

DOCS = Path(__file__).parents[2] / "docs" / "exit-codes.md"
ALL = list(itertools.product(Verdict, ExitStyle, (True, False)))


def documented(columns: int) -> dict[Verdict, list[str]]:
    """Rows of the one table in the docs that start with a verdict and have so many columns."""
    rows = {}
    for line in DOCS.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == columns and cells[0] in Verdict.__members__:
            rows[Verdict[cells[0]]] = cells
    return rows


@pytest.mark.parametrize("verdict", Verdict)
def test_the_table_in_the_docs_is_the_code(verdict: Verdict) -> None:
    codes = [
        exit_code(verdict, ExitStyle.PLAIN, target_reached=True),
        exit_code(verdict, ExitStyle.KSELFTEST, target_reached=True),
        exit_code(verdict, ExitStyle.BISECT, target_reached=True),
        exit_code(verdict, ExitStyle.BISECT, target_reached=False),
    ]
    assert documented(6)[verdict][2:] == [str(code) for code in codes]


@pytest.mark.parametrize(("verdict", "style", "reached"), ALL)
def test_every_case_has_a_code_that_git_bisect_survives(
    verdict: Verdict, style: ExitStyle, reached: bool
) -> None:
    code = exit_code(verdict, style, target_reached=reached)
    assert 0 <= code < 128  # git-bisect(1): 128 and above abort the bisection
    assert code != 2 or style is ExitStyle.KSELFTEST  # 2 is a wrong command line


@pytest.mark.parametrize("style", [ExitStyle.PLAIN, ExitStyle.KSELFTEST])
@pytest.mark.parametrize("verdict", Verdict)
def test_only_bisect_asks_whether_the_target_was_reached(
    verdict: Verdict, style: ExitStyle
) -> None:
    reached = exit_code(verdict, style, target_reached=True)
    assert reached == exit_code(verdict, style, target_reached=False)


@pytest.mark.parametrize("verdict", [Verdict.FAIL, Verdict.PANIC, Verdict.HANG])
def test_dead_before_the_target_is_no_judgement(verdict: Verdict) -> None:
    assert exit_code(verdict, ExitStyle.BISECT, target_reached=True) == 1
    assert exit_code(verdict, ExitStyle.BISECT, target_reached=False) == BISECT_SKIP


@pytest.mark.parametrize("verdict", [Verdict.SKIP, Verdict.INFRA, Verdict.BUILD])
def test_what_the_kernel_did_not_do_is_never_bad(verdict: Verdict) -> None:
    for reached in (True, False):
        assert exit_code(verdict, ExitStyle.BISECT, target_reached=reached) == BISECT_SKIP
    assert exit_code(verdict, ExitStyle.KSELFTEST, target_reached=True) == 4  # KSFT_SKIP


def test_plain_codes_tell_all_verdicts_apart_that_need_a_look() -> None:
    codes = {
        exit_code(verdict, ExitStyle.PLAIN, target_reached=True)
        for verdict in Verdict
        if not verdict.good
    }
    assert len(codes) == len([verdict for verdict in Verdict if not verdict.good])
    assert 0 not in codes


def test_good_verdicts() -> None:
    assert {v for v in Verdict if v.good} == {Verdict.PASS, Verdict.XFAIL, Verdict.SKIP}


def test_the_docs_name_each_verdict_in_both_tables() -> None:
    assert set(documented(6)) == set(documented(3)) == set(Verdict)
    assert re.search(r"--exit-style", DOCS.read_text(encoding="utf-8"))
