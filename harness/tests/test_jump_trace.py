# SPDX-License-Identifier: GPL-2.0-or-later
"""Where the steps of a jump are made, and how a trace of them is judged. No boots: the sites are
held against the calls that the same code makes on an emulated CPU; traces are made by hand.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import jumpback_jump as jj
import jumpback_sequence as js
import pytest

import kernel
from harness.machine import Life
from harness.machine.breakpoints import Condition, Hit
from harness.oracles.jump_sites import Kind, sites_of
from harness.oracles.jump_trace import JumpTrace, Recorded, TraceRecorder, judge_trace
from harness.oracles.shared_stops import SharedStops
from harness.results import Check
from harness.symbols import Symbols

pytestmark = pytest.mark.timeout(120)

BUILT = [
    pytest.param(Path(str(row.folder)) / "vmlinux", id=f"{row.version}-{row.arch}")
    for row in kernel.list_kernels()
    if row.state is kernel.State.BUILT and row.folder is not None
]
NAMED = {
    "take-lock": Kind.LOCK,
    "drop-lock": Kind.STEP,
    "disable-irqs": Kind.STEP,
    "enable-irqs": Kind.STEP,
    "mark-in-progress": Kind.STEP,
    "disable-breakpoints": Kind.STEP,
    "load-segments": Kind.STEP,
}


# Sites


@pytest.mark.kernels
@pytest.mark.parametrize("vmlinux", BUILT)
def test_sites_are_those_that_the_emulated_cpu_comes_by(vmlinux: Path) -> None:
    symbols = Symbols(vmlinux)
    emulated = js.Sequence(vmlinux)
    sites = sites_of(symbols, emulated.release)
    assert sites.kernel.left_out == emulated.kernel.left_out
    runs = [emulated.run(scenario) for scenario in emulated.scenarios]
    runs += [emulated.run_machine(branch) for branch in ("jump", "plain")]
    calls = {(call.site, call.step) for run in runs for call in run.calls if call.step}
    everywhere = [site for each in sites.at.values() for site in each]
    # A direct call is 5 bytes long.
    ours = {(site.address + 5, site.step) for site in everywhere if site.symbol}
    ours |= {(site.address, "relocate-kernel") for site in everywhere if site.kind is Kind.BACK}
    assert {step for _, step in calls} >= {"freeze-processes", "machine-kexec", "relocate-kernel"}
    # Only its argument tells what a call of mutex_lock() is; the emulated run has it.
    wanted = {(site, step) for site, step in calls if not step.endswith("transition-mutex")}
    assert wanted <= ours, [symbols.text(site) for site, _ in wanted - ours]
    made = {step.step for run in runs for step in run.trace.steps}
    for step, kind in NAMED.items():
        found = [site for site in everywhere if site.step == step]
        assert bool(found) == (step in made), step
        assert all(site.kind is kind for site in found), step


# Judging

KERNEL = jj.Kernel("6.12.117", "x86_64")


def made(scenario: jj.Scenario | None = None, *, without: str = "", cpu: int = 0) -> JumpTrace:
    """What a correct kernel does, or one that leaves out one step."""
    wanted = jj.expected_trace(KERNEL, scenario or jj.Scenario())
    trace = JumpTrace(returned=wanted.returned)
    for step in wanted.steps:
        trace.steps.append(_recorded(step, False, cpu))
        if step.step == "machine-kexec":
            inside = jj.expected_machine_trace(KERNEL, (scenario or jj.Scenario()).branch)
            trace.steps += [_recorded(each, True, cpu) for each in inside.steps]
            trace.machine_returned = inside.returned == 0
    trace.steps = [step for step in trace.steps if not without or step.step != without]
    return trace


def _recorded(step: jj.TraceStep, machine: bool, cpu: int) -> Recorded:
    return Recorded(step.step, step.symbol, 0, cpu, machine, step.argument, step.result)


def judged(trace: JumpTrace, scenario: jj.Scenario | None = None) -> Check:
    return judge_trace(KERNEL, "6.12.117", trace, scenario or jj.Scenario())


@pytest.mark.parametrize("scenario", jj.scenarios(KERNEL), ids=str)
def test_a_correct_kernel_passes(scenario: jj.Scenario) -> None:
    check = judged(made(scenario), scenario)
    assert check.passed, check.detail
    assert check.compared == len(made(scenario).steps) > 0


@pytest.mark.parametrize("step", [step.step for step in made().steps])
def test_a_missing_step_is_blamed(step: str) -> None:
    check = judged(made(without=step))
    assert not check.passed
    # disable-irqs is made twice, and machine_kexec() is judged by itself.
    assert step in {finding.stage for finding in check.findings}


def test_a_failure_that_nobody_made_is_blamed_on_the_step_that_failed() -> None:
    check = judged(made(jj.Scenario(failing="disable-cpus")))
    assert [finding.stage for finding in check.findings] == ["disable-cpus"]


def test_the_known_bug_is_named_and_blamed_on_the_step_that_failed() -> None:
    scenario = jj.Scenario(failing="suspend-devices")
    check = judged(made(scenario, without="resume-devices"), scenario)
    (finding,) = check.findings
    assert finding.stage == "suspend-devices"
    assert "2008-2025 unwinding bug (B4), 6.12.117: known" in finding.message
    assert "devices stay suspended" in finding.message


def test_only_the_boot_cpu_jumps() -> None:
    trace = made()
    next(step for step in trace.steps if step.step == "clear-io-apic").cpu = 1
    (finding,) = judged(trace).findings
    assert finding.stage == "clear-io-apic" and "CPU 1" in finding.message
    # Before the others are taken down any CPU may do.
    trace = made()
    trace.steps[0].cpu = 1
    assert judged(trace).passed


def test_the_jump_that_was_wrong_is_named() -> None:
    trace = made(without="enable-cpus")
    trace.steps[-1].cpu = 1
    check = judge_trace(KERNEL, "6.12.117", trace, jj.Scenario(), 2, 7)
    assert check.cycle == 7 and len(check.findings) > 1
    assert {(finding.life, finding.cycle) for finding in check.findings} == {(2, 7)}


def test_no_jump_is_no_pass() -> None:
    assert not judged(JumpTrace()).passed


# Recording


@dataclass
class FakeRecord:
    index: int = 1


@dataclass(eq=False)
class FakeLife:
    """Breakpoints and a memory of words; nothing runs."""

    record: FakeRecord = field(default_factory=FakeRecord)
    conditions: dict[int, Condition] = field(default_factory=dict)

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        yield

    def add_breakpoint(self, address: int, *, condition: Condition) -> None:
        there = self.conditions.get(address, condition)
        assert there == condition, "would replace somebody's breakpoint"
        self.conditions[address] = condition

    def remove_breakpoint(self, address: int) -> None:
        del self.conditions[address]


@dataclass
class FakeHit:
    """``line``: the command line of the kernel that runs."""

    symbols: Symbols
    address: int
    line: bytes
    cpu: int = 0
    registers: dict[str, int] = field(default_factory=dict)

    def register(self, name: str) -> int:
        return self.registers.get(name, 0)

    def read_virtual(self, address: int, length: int) -> bytes:
        if address == self.symbols.address("saved_command_line"):
            return (0x1000).to_bytes(length, "little")
        return self.line.ljust(length, b"\0") if address == 0x1000 else bytes(length)


class Story:
    """Sites of a built kernel, come by in a chosen order."""

    def __init__(self, symbols: Symbols, release: str) -> None:
        self.symbols = symbols
        self.life = FakeLife()
        self.sites = sites_of(symbols, release)
        self.release = release

    def recorder(self) -> TraceRecorder:
        life = cast(Life, self.life)
        return TraceRecorder(life, self.symbols, self.symbols.arch, self.release)

    def come_by(self, step: str, line: bytes, kind: Kind | None = None, **registers: int) -> bool:
        (address,) = {
            site.address
            for each in self.sites.at.values()
            for site in each
            if (site.step == step and site.kind is not Kind.RESULT) and kind in (None, site.kind)
        }
        hit = FakeHit(self.symbols, address, line, registers=registers)
        return self.life.conditions[address](cast(Hit, hit))

    def come_back(self, line: bytes, result: int) -> None:
        address = next(
            site.address
            for each in self.sites.at.values()
            for site in each
            if site.kind is Kind.RETURN
        )
        hit = FakeHit(self.symbols, address, line, registers={"rax": result})
        self.life.conditions[address](cast(Hit, hit))


@pytest.fixture(scope="module")
def built() -> tuple[Symbols, str]:
    for row in kernel.list_kernels():
        if row.state is kernel.State.BUILT and row.folder is not None and row.arch == "x86_64":
            return Symbols(Path(str(row.folder)) / "vmlinux"), row.release
    pytest.skip("no kernel is built: jumpback kernel build 6.1")


A, B = b"nokaslr jumpback.life=aaaa", b"nokaslr jumpback.life=bbbb"


@pytest.mark.kernels
def test_two_kernels_with_the_same_code_are_kept_apart(built: tuple[Symbols, str]) -> None:
    story = Story(*built)
    first, second = story.recorder(), story.recorder()
    first.start()
    assert not story.come_by("freeze-processes", A)
    second.start()
    story.come_by("freeze-processes", B)  # as the other one's first step
    story.come_by("thaw-processes", B)
    story.come_back(B, 0xFFFFFFF0)
    story.come_by("disable-cpus", A)
    assert [step.step for step in first.stop().steps] == ["freeze-processes", "disable-cpus"]
    assert first.stop().returned is None
    assert len(story.life.conditions) == len(story.sites.at)  # the other one's are still there


@pytest.mark.kernels
def test_watchers_share_an_address_and_leave_nothing_behind(built: tuple[Symbols, str]) -> None:
    story = Story(*built)
    recorder = story.recorder()
    recorder.start()
    (address,) = {
        site.address
        for each in story.sites.at.values()
        for site in each
        if site.step == "thaw-processes"
    }
    with SharedStops.of(cast(Life, story.life)).stopping(address):
        assert story.come_by("thaw-processes", A)  # stops, and is recorded
    assert not story.come_by("thaw-processes", A)
    assert [step.step for step in recorder.stop().steps] == ["thaw-processes"] * 2
    assert not story.life.conditions


@pytest.mark.kernels
def test_a_breakpoint_that_somebody_removed_is_set_again(built: tuple[Symbols, str]) -> None:
    story = Story(*built)
    recorder = story.recorder()
    recorder.start()
    address = next(iter(story.sites.at))
    story.life.remove_breakpoint(address)
    with SharedStops.of(cast(Life, story.life)).stopping(address):
        assert address in story.life.conditions
    recorder.pause()
    recorder.start()
    assert address in story.life.conditions
    recorder.stop()
    assert not story.life.conditions


@pytest.mark.kernels
def test_arguments_and_results_are_those_of_the_registers(built: tuple[Symbols, str]) -> None:
    story = Story(*built)
    recorder = story.recorder()
    recorder.start()
    story.come_by("suspend-devices", A, rdi=0x40)
    (result,) = {
        site.address
        for each in story.sites.at.values()
        for site in each
        if site.kind is Kind.RESULT and site.step == "suspend-devices"
    }
    hit = FakeHit(story.symbols, result, A, registers={"rax": 0xFFFFFFFB})
    story.life.conditions[result](cast(Hit, hit))
    (step,) = recorder.stop().steps
    assert (step.argument, step.result) == (0x40, -5)
