# SPDX-License-Identifier: GPL-2.0-or-later
"""``jumpback test --all``: what a run of everything adds to a usual one."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from harness.cli import selftest

pytestmark = pytest.mark.timeout(20)

Command = tuple[str, ...]


def _commands(monkeypatch: pytest.MonkeyPatch, *words: str) -> list[Command]:
    made: list[Command] = []
    monkeypatch.setattr(selftest.Shell, "run", lambda _, *argv, **__: made.append(argv))
    done = CliRunner().invoke(
        selftest.test_command, [*words, "--only", "kernels", "--only", "boots"]
    )
    assert done.exit_code == 0, done.output
    return made


def test_a_usual_run_leaves_out_what_is_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    *built, tests = _commands(monkeypatch)
    assert [(command[-3], command[-1]) for command in built] == list(selftest.KERNELS)
    assert tests[-2:] == ("-m", "(boots or kernels) and not full")


def test_all_leaves_nothing_out(monkeypatch: pytest.MonkeyPatch) -> None:
    more = (*selftest.KERNELS, ("7.2+deadlock", "x86_64"))
    monkeypatch.setattr(selftest, "ALL_KERNELS", more)
    *built, tests = _commands(monkeypatch, "--all")
    assert [(command[-3], command[-1]) for command in built] == list(more)
    assert tests[-2:] == ("-m", "boots or kernels or full")
