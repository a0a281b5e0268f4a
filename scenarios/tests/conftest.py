# SPDX-License-Identifier: GPL-2.0-or-later
"""Scenarios are run as a user runs them: by the command line, in a process of their own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from scenarios.tests.run_scenario import Ran, run_scenario

__all__ = ["Ran"]


@pytest.fixture
def jumpback(tmp_path: Path) -> Callable[..., Ran]:
    """Runs `jumpback run hibernate-disk ARGS --json` with a run folder of its own."""

    def run(*arguments: str) -> Ran:
        return run_scenario(tmp_path, "hibernate-disk", *arguments)

    return run
