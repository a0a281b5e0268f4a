# SPDX-License-Identifier: GPL-2.0-or-later
"""The interrupt controllers on the way of a jump, captured at its stops and held against the model
of the hand-over (docs/interrupt-model.md).

    proof = InterruptProof(context, life, side)
    proof.run_to_suspend(); proof.before_suspend()    # syscore_suspend()'s first instruction
    ...                   ; proof.at_departure()      # P0, relocate_kernel's
    ...                   ; proof.at_entry()          # P1, the callee's
    proof.run_to_resumed(); proof.after_resume()      # syscore_resume() has returned

``path="plain kexec"``: without preserved context; before_suspend() then stands for the moment
before the controllers are shut down (run_to_shutdown()), and nothing comes back.

A known fault that leaves exactly these registers is named in the finding.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

import jumpback_interrupts as ji

from harness.context import RunContext
from harness.errors import InfraError
from harness.machine import Life
from harness.machine.interrupts import InterruptControllers
from harness.oracles.interrupt_model import KernelVariables, add_kernel, add_timers, machine_of
from harness.oracles.shared_stops import SharedStops
from harness.results import Check, Finding
from harness.symbols import Symbols

ORACLE = "jump-interrupts"

# Stages: what ran before the stop at which the controllers are looked at.
RUNNING = "before-suspend"
DEPARTURE = "P0 departure"
CALLEE_ENTRY = "callee-entry"
RESUME = "resume"

# QEMU 7.2's 8254 (hw/timer/i8254.c) answers the read-back command without the null count bit: what
# a capture says of it is no evidence.
_UNTOLD = "PIT counting"
_ENABLED = 1 << 8  # SPIV: the LAPIC is on
_MASKED = 1 << 16  # an LVT
_MOST = 12  # findings of one check
_SHUTDOWN = ("i8259A_shutdown", "native_machine_shutdown")


class KernelSide(Protocol):
    """What is asked of harness/jump/side.py's Side."""

    @property
    def symbols(self) -> Symbols:
        ...

    @property
    def release(self) -> str:
        ...

    @property
    def arch(self) -> str:
        ...


class Controllers:
    """Captures of one kernel's machine; it must stand still."""

    def __init__(self, life: Life, symbols: Symbols, release: str, arch: str) -> None:
        self._life = life
        self._release = release
        self._arch = arch
        self.kernel = KernelVariables(life, symbols)
        self.like: ji.Machine | None = None  # the last capture with the kernel's facts
        self.seen: InterruptControllers | None = None  # the last capture as it was read

    def take(self, *, with_kernel: bool = False) -> ji.Machine:
        """``with_kernel``: with the kernel's facts; only where its page tables are in use."""
        self.seen = self._life.interrupt_controllers()
        machine = machine_of(self.seen, version=self._release, arch=self._arch, like=self.like)
        add_timers(machine, self.monitor)
        if with_kernel:
            add_kernel(machine, self.kernel)
            self.like = machine
        return machine

    def monitor(self, command: str) -> str:
        """QEMU's human monitor."""
        return self._life.monitor(command)


class InterruptProof:
    """Of one jump of the kernel ``side``, there and back. The stops are made by the story.
    ``cycle``: the jump's number, for the checks and findings."""

    def __init__(
        self,
        context: RunContext,
        life: Life,
        side: KernelSide,
        path: str = "jump",
        cycle: int = 0,
    ) -> None:
        self._context = context
        self._life = life
        self._symbols = side.symbols
        self._path = path
        self.cycle = cycle
        self._word = 8 if side.arch == "x86_64" else 4
        self._controllers = Controllers(life, side.symbols, side.release, side.arch)
        self._before: ji.Machine | None = None
        self._departed: ji.Machine | None = None

    # Stops

    def run_to_suspend(self) -> None:
        self._run_to("syscore_suspend")

    def run_to_shutdown(self) -> None:
        """Of a plain kexec: before the 8259's shutdown, where the kernel has it on its way."""
        self._run_to(*(name for name in _SHUTDOWN if self._symbols.all(name)))

    def run_to_resumed(self) -> None:
        """syscore_resume() has returned, on the CPU that jumped; the others are still offline."""
        cpu = self._run_to("syscore_resume")
        top = self._life.registers(cpu).general["rsp"] & (1 << 8 * self._word) - 1
        back = int.from_bytes(self._life.read_virtual(top, self._word, cpu), "little")
        self._run_to_address(back)

    def _run_to(self, *names: str) -> int:
        """Returns the CPU that stopped."""
        return self._run_to_address(*(self._symbols.address(name) for name in names))

    def _run_to_address(self, *addresses: int) -> int:
        with SharedStops.of(self._life).stopping(*addresses):
            return self._life.run_until_breakpoint(set(addresses)).cpu

    # What is proved there

    def before_suspend(self) -> Check:
        """Also the base of all that follows."""
        found = self._controllers.take(with_kernel=True)
        self._before, self._departed = found, None
        check = self._check("interrupt controllers are a running kernel's", found)
        problems = []
        if not found["LAPIC SPIV"] & _ENABLED:
            problems.append(("LAPIC SPIV", "the boot CPU's LAPIC is off"))
        if found.tick == "lapic" and found["LAPIC LVTT"] & _MASKED:
            problems.append(("LAPIC LVTT", "the LAPIC timer ticks for this kernel, and is masked"))
        by_pit = found.tick == "pit" or found.tick == "none" and found.broadcast == "pit"
        if by_pit and found["PIT mode"] == 0:
            problems.append(("PIT mode", "the PIT ticks for this kernel, and is off"))
        return self._finish(check, [self._finding(RUNNING, *each) for each in problems])

    def at_departure(self) -> Check:
        """P0: the kernel has handed the controllers over."""
        before = self._base()
        found = self._controllers.take()
        self._departed = found
        expected = ji.at_entry_of_b(before, self._path)
        check = self._check("interrupt controllers are handed over", found)
        findings = self._differences(DEPARTURE, before, self._path, expected, found)
        findings += self._others()
        return self._finish(check, findings)

    def at_entry(self) -> Check:
        """P1: relocate_kernel touches none of them; and the tick can reach the callee's CPU, if a
        correct kernel on this board has a way for it."""
        before = self._base()
        model = before.copy()
        for step in ji.steps(self._path, model):
            model.call(step)
        found = self._controllers.take()
        check = self._check("the legacy tick can reach the callee", found)
        findings: list[Finding] = []
        if self._departed is None:
            expected = ji.at_entry_of_b(before, self._path)
            findings += self._differences(CALLEE_ENTRY, before, self._path, expected, found)
        else:
            findings += [
                self._finding(
                    CALLEE_ENTRY, each.register, f"{_text(each)}: changed since relocate_kernel"
                )
                for each in ji.differences(self._departed, found)
            ]
        answer, wanted = ji.can_tick_reach(found), ji.can_tick_reach(model).path
        if answer.path != wanted or not answer.open_to_pic and wanted != "none":
            obstacles = "; ".join(answer.obstacles)
            message = f"the legacy tick is to come by the {wanted}, and cannot: {obstacles}"
            findings.append(self._finding(CALLEE_ENTRY, "", message))
        check.detail = _way(answer)
        return self._finish(check, findings)

    def after_resume(self) -> Check:
        before = self._base()
        found = self._controllers.take()
        expected = ji.at_return_of_a(before)
        check = self._check("interrupt controllers are restored", found)
        findings = self._differences(RESUME, before, "return", expected, found)
        return self._finish(check, findings)

    def _base(self) -> ji.Machine:
        if self._before is None:
            raise InfraError("interrupt proof: before_suspend() has not been called")
        return self._before

    # Findings

    def _differences(
        self,
        stage: str,
        before: ji.Machine,
        path: str,
        expected: ji.Expectation,
        found: ji.Machine,
    ) -> list[Finding]:
        shown = found.copy()
        shown[_UNTOLD] = expected.registers()[_UNTOLD]
        differences = ji.compare(expected, shown)
        if not differences:
            return []
        known = {fault.id: fault.what for fault in ji.known_faults()}
        causes = [f"{fault}: {known[fault]}" for fault in ji.explain(before, path, shown) if fault]
        findings: list[Finding] = []
        for each in differences[:_MOST]:
            words = [_text(each)]
            words += [f"{each.step} has to set it"] if each.step else []
            words += [f"as after {each.since}"] if each.since and each.since != "before" else []
            words += ["as it was before all of it"] if each.since == "before" else []
            if not findings:
                words += [f"{len(differences)} registers"] if len(differences) > 1 else []
                words += [f"explained by {' or '.join(causes)}"] if causes else []
            findings.append(self._finding(stage, each.register, "; ".join(words)))
        return findings

    def _others(self) -> list[Finding]:
        """No other CPU may take an interrupt while its memory is another kernel's."""
        seen = self._controllers.seen
        lapics = seen.lapics if seen is not None else {}
        return [
            self._finding(
                DEPARTURE,
                f"LAPIC {cpu} SPIV",
                f"CPU {cpu} was taken down, and its LAPIC is on: SPIV {lapic.get('spiv', 0):#x}",
            )
            for cpu, lapic in lapics.items()
            if cpu != 0 and lapic.get("spiv", 0) & _ENABLED
        ]

    def _check(self, name: str, found: ji.Machine) -> Check:
        return Check(name, ORACLE, True, self.cycle, len(found.registers()))

    def _finding(self, stage: str, register: str, message: str) -> Finding:
        number = self._life.record.index
        return Finding(ORACLE, stage, message, self.cycle, number, owner=register or None)

    def _finish(self, check: Check, findings: Sequence[Finding]) -> Check:
        check.findings = list(findings)
        check.passed = not findings
        check.detail = findings[0].message if findings else check.detail
        return self._context.record(check)


def _text(each: ji.Difference) -> str:
    if each.missing:
        return f"{each.register} is not there"
    return (
        f"{each.register}: expected {each.expected_meaning or hex(each.expected)}, "
        f"found {each.found_meaning or hex(each.found)}"
    )


def _way(answer: ji.TickAnswer) -> str:
    if answer.path == "none":
        return f"no way for the legacy tick: {_joined(answer.obstacles)}"
    left = f"; left to the callee: {_joined(answer.obstacles)}" if answer.obstacles else ""
    return f"the legacy tick reaches the boot CPU by the {answer.path}{left}"


def _joined(texts: Iterable[str]) -> str:
    return "; ".join(texts)
