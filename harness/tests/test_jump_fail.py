# SPDX-License-Identifier: GPL-2.0-or-later
"""How a step of the jump is made to fail, and what is said where that did not work: no guest."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest

from harness.agent import Agent
from harness.agent_state import AttemptResult
from harness.errors import InfraError, LostMachine
from harness.jump import fail_inject
from harness.jump.fail_checks import FailChecks
from harness.jump.fail_inject import Injector, Refusal
from harness.jump.fail_story import require_refusal
from harness.machine.breakpoints import Condition
from harness.oracles.jump_sites import Kind, Site
from harness.oracles.jump_trace import JumpTrace, Recorded
from harness.oracles.liveness import FiredEarly, LivenessChecks
from harness.results import Check

# Of a kernel whose lock is a mutex.
ENTRY, OTHER, TRY, RETURN = 0x1000, 0x1010, 0x1020, 0x1030
LOCK, OTHER_LOCK = 0x8000, 0x9000


@dataclass(eq=False)
class FakeLife:
    conditions: dict[int, Condition] = field(default_factory=dict)
    written: dict[int, int] = field(default_factory=dict)

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        yield

    def add_breakpoint(self, address: int, *, condition: Condition) -> None:
        self.conditions[address] = condition

    def remove_breakpoint(self, address: int) -> None:
        del self.conditions[address]

    def write_memory(self, _: int, address: int, data: bytes) -> None:
        self.written[address] = int.from_bytes(data, "little")

    def come_by(self, address: int, argument: int = 0) -> bool:
        hit = SimpleNamespace(
            address=address, gdb=self, thread=1, register=lambda name: argument, cpu=0
        )
        return self.conditions[address](cast(Any, hit))


@pytest.fixture(name="injector")
def _injector(monkeypatch: pytest.MonkeyPatch) -> tuple[Injector, FakeLife]:
    sites = [
        Site(OTHER, Kind.MUTEX, "other", "mutex_lock"),
        Site(TRY, Kind.MUTEX, "other", "mutex_trylock"),
        Site(RETURN, Kind.RETURN),
    ]
    at = {site.address: (site,) for site in sites}
    monkeypatch.setattr(
        fail_inject, "sites_of", lambda *_: SimpleNamespace(at=at, lock=LOCK, kernel=None)
    )
    monkeypatch.setattr(
        fail_inject, "StateReader", lambda _: SimpleNamespace(read=lambda hit: None)
    )
    symbols = SimpleNamespace(arch="x86_64", address=lambda name: ENTRY, all=lambda name: [])
    life = FakeLife()
    return Injector(cast(Any, life), cast(Any, symbols), "5.10.0"), life


def test_a_lock_that_is_a_mutex_is_held(injector: tuple[Injector, FakeLife]) -> None:
    inject, life = injector
    refusal = inject.arm("take-lock")
    assert not life.come_by(OTHER, OTHER_LOCK)
    assert not life.written and refusal.injected == 0
    assert not life.come_by(TRY, LOCK)
    assert life.written[LOCK] != 0 and refusal.injected == 1
    assert life.come_by(RETURN)
    assert life.written[LOCK] == 0


def _trace(*steps: str) -> JumpTrace:
    return JumpTrace([Recorded(step, "", 0, 0, False) for step in steps])


@pytest.mark.parametrize("step", [name for name in fail_inject.STEPS if name != "find-image"])
def test_a_step_that_the_rig_did_not_make_fail_is_its_own_fault(step: str) -> None:
    fails = fail_inject.STEPS[step].fails
    with pytest.raises(InfraError):
        require_refusal(Refusal(step), _trace("take-lock", fails))
    require_refusal(Refusal(step, injected=1), _trace("take-lock", fails))
    require_refusal(Refusal(step), _trace())  # the kernel's fault: its trace says so


def test_a_call_without_an_image_needs_no_injection() -> None:
    require_refusal(Refusal("find-image"), _trace("take-lock", "find-image"))


@dataclass
class FakeLiveness:
    """What its first look at the timers comes to; the second one is good."""

    first: Exception | None
    looks: int = 0

    def timer(self, name: str, _: object) -> Check:
        self.looks += 1
        if self.first is not None and self.looks == 1:
            raise self.first
        return Check(f"timers fired: {name}", "workload", True)


def _timer(first: Exception | None) -> tuple[Check, list[str]]:
    made: list[Check] = []
    asked: list[str] = []
    agent = SimpleNamespace(
        stop=lambda name: asked.append("stop"),
        start_timer=lambda name, delay: asked.append("start"),
    )
    context = SimpleNamespace(record=made.append)
    checks = FailChecks(cast(Any, context), cast(Any, None), "take-lock", 1)
    liveness = cast(LivenessChecks, FakeLiveness(first))
    checks.timer(cast(Agent, agent), liveness, cast(AttemptResult, None))
    return made[0], asked


def test_timers_that_fired_early_are_armed_again_and_that_is_said() -> None:
    check, asked = _timer(None)
    assert not check.detail and not asked
    check, asked = _timer(FiredEarly("too slow"))
    assert "armed behind the jump" in check.detail and asked == ["stop", "start"]


@pytest.mark.parametrize("error", [InfraError("any other"), LostMachine("gone")])
def test_other_faults_of_the_rig_are_not_taken_for_early_timers(error: InfraError) -> None:
    with pytest.raises(type(error)):
        _timer(error)
