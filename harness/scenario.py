# SPDX-License-Identifier: GPL-2.0-or-later
"""What a scenario is, and where scenarios are found.

A scenario is one file in scenarios/ with a module-level ``SCENARIO``. It tells a story (boots,
saves, faults) through the ``RunContext`` it is handed, and records checks in ``ctx.result``.
It never prints and never decides the verdict: the runner does (harness/runner.py).
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from harness.context import RunContext
from harness.errors import UsageError


@dataclass(frozen=True)
class ScenarioOption:
    """One option of a scenario; becomes ``--name`` on the command line."""

    name: str
    help: str
    default: Any
    choices: Sequence[str] = ()
    metavar: str | None = None
    minimum: int | None = None

    @property
    def key(self) -> str:
        return self.name.replace("-", "_")


class Fault(Protocol):
    """A fault that a scenario can put into its own run (--tamper), as `jumpback list` shows it."""

    @property
    def summary(self) -> str:
        ...

    @property
    def expect(self) -> str:
        """The verdict that it must cause, and what is blamed."""


@dataclass(frozen=True)
class Scenario:
    name: str
    summary: str  # one line
    description: str  # paragraphs for --help
    run: Callable[[RunContext, Mapping[str, Any]], None]
    options: Sequence[ScenarioOption] = field(default_factory=tuple)
    tampers: Mapping[str, Fault] = field(default_factory=dict)  # by name


def all_scenarios() -> list[Scenario]:
    """Every scenario in scenarios/, by name."""
    import scenarios

    found: list[Scenario] = []
    for module_info in pkgutil.iter_modules(scenarios.__path__):
        if module_info.ispkg:
            continue
        module = importlib.import_module(f"scenarios.{module_info.name}")
        scenario = getattr(module, "SCENARIO", None)
        if isinstance(scenario, Scenario):
            found.append(scenario)
    return sorted(found, key=lambda item: item.name)


def find_scenario(name: str) -> Scenario:
    known = all_scenarios()
    for scenario in known:
        if scenario.name == name:
            return scenario
    names = ", ".join(scenario.name for scenario in known)
    raise UsageError(f"there is no scenario {name!r}; known: {names}")
