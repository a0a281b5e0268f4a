# SPDX-License-Identifier: GPL-2.0-or-later
"""The steps of kernel_kexec() and machine_kexec() that a kernel makes while it really jumps, and
their judging against the model of the sequence (docs/jump-sequence.md).

The recorder only looks: at every site of a step (harness/oracles/jump_sites.py) the CPU that is
about to make it stands still for as long as it takes to read a few registers.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import jumpback_jump as jj

from harness.machine import Life
from harness.machine.breakpoints import Hit
from harness.machine.rsp import GdbError
from harness.oracles.jump_sites import Kind, Site, Sites, sites_of
from harness.oracles.shared_stops import SharedStops
from harness.results import Check, Finding
from harness.symbols import Symbols

ORACLE = "jump-trace"
CHECK = "the jump's steps are those of the model"

_EBUSY = 16
_COMMAND_LINE = 512  # bytes of it that tell one kernel from another: both have their own nonce
_CODE = 16  # bytes that tell relocate_kernel's copy from anything else

# In between only the boot CPU is there.
_ALONE = ("suspend-syscore", "enable-cpus")


@dataclass
class Recorded:
    """One step that was made."""

    step: str
    symbol: str
    site: int  # the instruction that made it
    cpu: int
    machine: bool  # by machine_kexec()
    argument: int | None = None
    result: int = 0

    def text(self) -> str:
        return f"{self.step} ({self.symbol})" if self.symbol else self.step


@dataclass
class JumpTrace:
    """One call of kernel_kexec()."""

    steps: list[Recorded] = field(default_factory=list)
    returned: int | None = None
    machine_returned: bool = False
    reentry: int | None = None  # what relocate_kernel returned: the next jump's entry

    @property
    def kernel(self) -> jj.Trace:
        """kernel_kexec()'s own."""
        return jj.Trace([_model(step) for step in self.steps if not step.machine], self.returned)

    @property
    def machine(self) -> jj.Trace:
        returned = 0 if self.machine_returned else None
        return jj.Trace([_model(step) for step in self.steps if step.machine], returned)

    @property
    def entered_machine(self) -> bool:
        return any(step.step == "machine-kexec" for step in self.steps)


def _model(step: Recorded) -> jj.TraceStep:
    return jj.TraceStep(step.step, step.result, step.argument, step.symbol)


class TraceRecorder:
    """Of the kernel that runs in ``life`` when it makes its first step after start().

    Hits of another kernel that runs the same code in the same life (the one that was jumped to) are
    told by its command line, and left alone: it may have a recorder of its own, at the same time.
    A step of a kernel without ``saved_command_line`` would be taken for one of any.

    ``also``: is called at every step that was recorded, while the machine stands still; True stops
    it there. ``cycle``: the jump's number, for the check and its findings.
    """

    def __init__(
        self,
        life: Life,
        symbols: Symbols,
        arch: str,
        release: str,
        also: Callable[[Recorded, Hit], bool] | None = None,
        cycle: int = 0,
    ) -> None:
        self._life = life
        self._sites: Sites = sites_of(symbols, release)
        self._word = 8 if arch == "x86_64" else 4
        self._release = release
        self._line_at = symbols.address("saved_command_line")
        self._also = also
        self.cycle = cycle
        self._with_argument = _steps_with_argument(self._sites.kernel)
        self._watchers = {address: self._hit for address in self._sites.at}
        self._mine: bytes | None = None
        self._running = False
        self.jumps: list[JumpTrace] = []  # finished or not, in order
        self.hits = 0  # stops of this recorder
        self.seconds = 0.0  # in its own code, and in waiting for the machine's answers

    # Recording

    def start(self) -> None:
        """The machine may run or stand still."""
        if not self._running:
            SharedStops.of(self._life).add(self._watchers)
            self._running = True

    def pause(self) -> None:
        """No breakpoint is left; start() goes on with the same jump. For the time in which another
        kernel runs: code in the 4 KiB page of a breakpoint runs slowly."""
        if self._running:
            SharedStops.of(self._life).remove(self._watchers)
            self._running = False

    def stop(self) -> JumpTrace:
        """The last jump; one without steps if there was none."""
        self.pause()
        return self.jumps[-1] if self.jumps else JumpTrace()

    def _hit(self, hit: Hit) -> bool:
        began = time.monotonic()
        self.hits += 1
        try:
            return self._is_mine(hit) and self._record(hit)
        finally:
            self.seconds += time.monotonic() - began

    def _is_mine(self, hit: Hit) -> bool:
        try:
            line = hit.read_virtual(self._number(hit, self._line_at, self._word), _COMMAND_LINE)
        except GdbError:
            return False  # another kernel's page tables
        line = line.partition(b"\0")[0]
        if self._mine is None:
            self._mine = line
        return line == self._mine

    def _record(self, hit: Hit) -> bool:
        if not self.jumps or self.jumps[-1].returned is not None:
            self.jumps.append(JumpTrace())
        stop = False
        for site in self._sites.at.get(hit.address, ()):
            step = self._take(site, hit, self.jumps[-1])
            if step is not None and self._also is not None:
                stop = self._also(step, hit) or stop
        return stop

    def _take(self, site: Site, hit: Hit, jump: JumpTrace) -> Recorded | None:
        if not site.machine and jump.entered_machine and site.kind is not Kind.BACK:
            jump.machine_returned = True
        if site.kind is Kind.RESULT:
            for step in reversed(jump.steps):
                if step.step == site.step:
                    step.result = _signed(hit.register("rax"))
                    break
            return None
        if site.kind is Kind.RETURN:
            jump.returned = _signed(hit.register("rax"))
            return None
        if site.kind is Kind.BACK:
            jump.reentry = self._register(hit, "rax")
            return None
        step = self._step(site, hit)
        jump.steps.append(step)
        return step

    def _step(self, site: Site, hit: Hit) -> Recorded:
        step = Recorded(site.step, site.symbol, site.address, hit.cpu, site.machine)
        first = self._register(hit, "rdi" if self._word == 8 else "rax")
        if site.kind is Kind.LOCK:
            step.result = -_EBUSY if self._number(hit, self._sites.lock, 4) else 0
        elif site.kind is Kind.MUTEX:
            self._mutex(step, hit, first)
        elif site.kind is Kind.INDIRECT:
            target = self._register(hit, _full_name(site.operand))
            if not self._is_relocate(hit, target):
                step.step, step.symbol = "other", f"{target:#x}"
        if step.step in self._with_argument:
            step.argument = first & 0xFFFFFFFF
        return step

    def _mutex(self, step: Recorded, hit: Hit, mutex: int) -> None:
        """mutex_trylock() and its like: which mutex decides which step it is."""
        taken = step.symbol != "mutex_unlock"
        if mutex == self._sites.transition_mutex:
            step.step = "take-transition-mutex" if taken else "drop-transition-mutex"
        elif mutex == self._sites.lock:
            step.step = "take-lock" if taken else "drop-lock"
            if taken and self._number(hit, mutex, self._word):
                step.result = -_EBUSY

    def _is_relocate(self, hit: Hit, target: int) -> bool:
        """Its copy in the control page has no symbol: told by its code."""
        wanted = hit.read_virtual(self._sites.relocate, _CODE)
        try:
            return hit.read_virtual(target, _CODE) == wanted
        except GdbError:
            return False

    def _register(self, hit: Hit, name: str) -> int:
        return hit.register(name) & (1 << 8 * self._word) - 1

    def _number(self, hit: Hit, address: int, size: int) -> int:
        return int.from_bytes(hit.read_virtual(address, size), "little")

    # Judging

    def check(self, trace: JumpTrace | None = None, scenario: jj.Scenario | None = None) -> Check:
        """``trace``: by default the last one. ``scenario``: the branch, and the step that was made
        to fail; by default a jump that comes back."""
        told = trace or (self.jumps[-1] if self.jumps else JumpTrace())
        wanted = scenario or jj.Scenario()
        life = self._life.record.index
        return judge_trace(self._sites.kernel, self._release, told, wanted, life, self.cycle)


def judge_trace(
    kernel: jj.Kernel,
    release: str,
    trace: JumpTrace,
    scenario: jj.Scenario,
    life: int = 0,
    cycle: int = 0,
) -> Check:
    check = Check(CHECK, ORACLE, True, cycle, len(trace.steps))
    parts = [(trace.kernel, jj.judge(kernel, scenario, trace.kernel))]
    if trace.entered_machine:
        parts.append((trace.machine, jj.judge_machine(kernel, scenario.branch, trace.machine)))
    for part, judgement in parts:
        if judgement.outcome != "match" or judgement.violations:
            stage = scenario.failing or _parted_at(judgement, part)
            check.findings.append(_finding(judgement, stage, release))
    check.findings += _not_alone(trace)
    check.findings = [replace(finding, life=life, cycle=cycle) for finding in check.findings]
    check.passed = not check.findings
    check.detail = f"{len(trace.steps)} steps" if check.passed else check.findings[0].message
    return check


def _parted_at(judgement: jj.Judgement, trace: jj.Trace) -> str:
    """The step where the trace parts from the model: the missing one, or the one that is wrong."""
    parted = judgement.divergence
    if parted is None:
        return ""
    if parted.kind.startswith("wrong") and parted.position < len(trace):
        return trace.steps[parted.position].step
    return (parted.expected or parted.found).split(" ")[0]


def _finding(judgement: jj.Judgement, stage: str, release: str) -> Finding:
    """``stage``: the step that was made to fail, whose way out is wrong, or where the ways part."""
    parted = judgement.divergence
    words = []
    if judgement.outcome == "known-fault":
        known = "known" if judgement.faults_known_here else "which should not have it"
        names = ", ".join(f"{fault.name} ({fault.code})" for fault in judgement.faults)
        words.append(f"{names}, {release}: {known}")
    words.append(parted.text if parted is not None else judgement.text)
    words += judgement.undone
    words += [violation.text for violation in judgement.violations]
    return Finding(ORACLE, stage, "; ".join(dict.fromkeys(words)), owner=stage or None)


def _not_alone(trace: JumpTrace) -> list[Finding]:
    """Between the taking down of the other CPUs and their return every step is the boot CPU's."""
    names = [step.step for step in trace.steps]
    if _ALONE[0] not in names:
        return []
    first = names.index(_ALONE[0])
    last = names.index(_ALONE[1]) if _ALONE[1] in names else len(names)
    return [
        Finding(
            ORACLE,
            step.step,
            f"{step.text()} was made on CPU {step.cpu}: only the boot CPU may be there",
        )
        for step in trace.steps[first : last + 1]
        if step.cpu != 0
    ]


def _steps_with_argument(kernel: jj.Kernel) -> set[str]:
    """Those whose first argument the model judges."""
    traces = [jj.expected_machine_trace(kernel)]
    traces += [jj.expected_trace(kernel, scenario) for scenario in jj.scenarios(kernel)]
    return {step.step for trace in traces for step in trace.steps if step.argument is not None}


def _full_name(register: str) -> str:
    """The stub's: "rdx" for i386's edx, too."""
    return "r" + register[1:] if register.startswith("e") else register


def _signed(value: int) -> int:
    """An int in eax."""
    value &= 0xFFFFFFFF
    return value - (1 << 32) if value >> 31 else value
