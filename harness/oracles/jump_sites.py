# SPDX-License-Identifier: GPL-2.0-or-later
"""Where in kernel_kexec() and machine_kexec() each step of a jump is made, by the code itself.

A step is a call of one of the model's functions, or an instruction: cli, a load of SS, a write to
__kexec_lock. Both are found in the disassembly of the two functions alone, so that a breakpoint at
each of them stops only for a jump, however often the called function runs otherwise (memcpy), and
what is called needs no breakpoint of its own. vm/sequence finds the same steps by running the code.
"""

from __future__ import annotations

import enum
import functools
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import jumpback_jump as jj

from harness.errors import BuildError, InfraError
from harness.symbols import Symbols

FUNCTIONS = ("kernel_kexec", "machine_kexec")
_LIMIT = 60.0  # seconds for objdump; usual: 0.03


class Kind(enum.Enum):
    STEP = "step"  # the step is made here
    LOCK = "lock"  # kexec_trylock(): the lock's value decides the result
    MUTEX = "mutex"  # mutex_lock() or mutex_unlock(): the argument decides which step it is
    INDIRECT = "indirect"  # a call through a register: relocate_kernel, if its code is there
    RESULT = "result"  # the instruction behind a step that can fail: eax has its result
    BACK = "back"  # the instruction behind the call of relocate_kernel
    RETURN = "return"  # of kernel_kexec()


@dataclass(frozen=True)
class Site:
    """An instruction before which the machine is looked at."""

    address: int
    kind: Kind
    step: str = ""  # the model's id; "other": a call that no kernel is known to make there
    symbol: str = ""  # of the function that is called
    machine: bool = False  # in machine_kexec()
    operand: str = ""  # INDIRECT: the register


@dataclass(frozen=True)
class _Line:
    address: int
    function: str
    mnemonic: str  # without prefixes
    operands: str
    repeated: bool
    comment: int | None  # the address that objdump works out for a RIP-relative operand

    def names(self, variable: int) -> bool:
        """Whether it has that variable for its operand."""
        if self.comment == variable:
            return True
        return any(int(word, 16) == variable for word in _ABSOLUTE.findall(self.operands))


_LINE = re.compile(
    r"^\s*([0-9a-f]+):\s+((?:(?:lock|rep\w*|[cdefgs]s|xacquire|xrelease) )*)(\w+)\s*(.*)$"
)
_COMMENT = re.compile(r"#\s*([0-9a-f]+)\b")
_ABSOLUTE = re.compile(r"(?<![\w$-])0x([0-9a-f]+)(?![\w(])")
_TARGET = re.compile(r"^([0-9a-f]+)\b")
_REGISTER = re.compile(r"^\*%(\w+)$")
_THUNK = re.compile(r"^__x86_indirect_(?:thunk|call_thunk|jump_thunk)_(?:array_)?(\w+)$")

# What vm/sequence/code_map.cpp takes for no step, too, by prefix.
_HELPERS = (
    ("_printk", "printk", "__warn_printk", "page_address", "__phys_addr", "__virt_addr")
    + ("memcpy", "__memcpy", "memset", "cc_platform_has", "sme_active", "trace_hardirqs")
    + ("lockdep_", "lock_acquire", "lock_release", "preempt_count_", "__cond_resched")
    + ("dynamic_might_resched", "__might_sleep", "__might_resched", "debug_smp_processor_id")
    + ("__rcu_read_", "__fentry__", "mcount", "__sanitizer_cov_", "__asan_", "__kcsan_")
    + ("__ubsan_", "__stack_chk_fail", "__x86_return_thunk", "srso_return_thunk")
)
# local_irq_disable() and its counterpart with CONFIG_PARAVIRT_XXL
_OUT_OF_LINE = {
    "pv_native_irq_disable": "disable-irqs",
    "native_irq_disable": "disable-irqs",
    "pv_native_irq_enable": "enable-irqs",
    "native_irq_enable": "enable-irqs",
}


class Sites:
    """Those of one kernel. Raises BuildError if it has no kexec."""

    def __init__(self, symbols: Symbols, release: str) -> None:
        self._symbols = symbols
        self._names = symbols.addresses()
        self.kernel = jj.Kernel(release, symbols.arch, self._left_out(release))
        self._fallible = {each.failing for each in jj.scenarios(self.kernel) if each.failing}
        self.lock = self._names.get("__kexec_lock", self._names.get("kexec_mutex", 0))
        self.transition_mutex = self._names.get("system_transition_mutex", 0)
        self.relocate = symbols.address("relocate_kernel")
        found: dict[int, list[Site]] = {}
        for function in FUNCTIONS:
            lines = list(self._code(function))
            for index, line in enumerate(lines):
                after = lines[index + 1].address if index + 1 < len(lines) else 0
                for site in self._of(line, after):
                    found.setdefault(site.address, []).append(site)
        # At one address: first what the instruction before it has left there.
        order = (Kind.RESULT, Kind.BACK)
        self.at = {
            address: tuple(sorted(sites, key=lambda site: site.kind not in order))
            for address, sites in found.items()
        }

    def _left_out(self, release: str) -> list[str]:
        """Steps that the configuration leaves out: this version has them, this kernel not their
        functions."""
        correct = jj.Kernel(release, self._symbols.arch)
        there = {jj.step_of_symbol(name) for name in self._names}
        traces = [jj.expected_machine_trace(correct)]
        traces += [jj.expected_trace(correct, jj.Scenario(branch)) for branch in ("jump", "plain")]
        called = {step.step for trace in traces for step in trace.steps if step.symbol}
        return sorted(called - there)

    def _code(self, function: str) -> Iterator[_Line]:
        parts = [(function, *each) for each in self._symbols.all(function)]
        if not parts:
            raise BuildError(f"{self._symbols.path} has no {function}(): CONFIG_KEXEC=y is missing")
        parts += [
            (name, *each)
            for name in self._names
            if name.startswith(function + ".")
            for each in self._symbols.all(name)
        ]
        for name, address, size in parts:
            text = _disassembly(self._symbols.path, address, address + size)
            for match in map(_LINE.match, text.splitlines()):
                if match is None:
                    continue
                operands, _, comment = match[4].partition("#")
                worked_out = _COMMENT.search("#" + comment) if comment else None
                yield _Line(
                    int(match[1], 16),
                    function,
                    match[3],
                    operands.strip(),
                    "rep" in match[2],
                    int(worked_out[1], 16) if worked_out else None,
                )

    def _of(self, line: _Line, after: int) -> Iterator[Site]:
        machine = line.function == "machine_kexec"
        if line.mnemonic in ("call", "callq", "calll", "jmp", "jmpq", "jmpl"):
            yield from self._call(line, after, machine)
        elif line.mnemonic in ("ret", "retq", "retl"):
            if not machine:
                yield Site(line.address, Kind.RETURN)
        elif line.mnemonic in ("cli", "sti"):
            step = "disable-irqs" if line.mnemonic == "cli" else "enable-irqs"
            yield Site(line.address, Kind.STEP, step, machine=machine)
        elif machine:
            step = _machine_step(line, self.relocate)
            # Behind a repeated instruction, which stops at each of its rounds.
            address = after if line.repeated else line.address
            if step:
                yield Site(address, Kind.STEP, step, machine=True)
        elif line.names(self.lock):
            if "cmpxchg" in line.mnemonic:
                yield Site(line.address, Kind.LOCK, "take-lock")
            elif line.mnemonic.startswith(("mov", "xchg")) and _writes(line):
                yield Site(line.address, Kind.STEP, "drop-lock")
        elif line.names(self._names.get("kexec_in_progress", 0)) and _writes(line):
            yield Site(line.address, Kind.STEP, "mark-in-progress")

    def _call(self, line: _Line, after: int, machine: bool) -> Iterator[Site]:
        register = _REGISTER.match(line.operands)
        target = _TARGET.match(line.operands)
        name, step = "", None
        if target is not None:
            name, step = self._called(int(target[1], 16))
            thunk = _THUNK.match(name)
            if thunk is not None:
                register = thunk
        if register is not None:
            yield Site(line.address, Kind.INDIRECT, "relocate-kernel", "", machine, register[1])
            yield Site(after, Kind.BACK, machine=machine)
            return
        if target is None or name in FUNCTIONS and line.mnemonic.startswith("jmp"):
            return  # a jump within the function
        if name.endswith("return_thunk"):
            if not machine:
                yield Site(line.address, Kind.RETURN)
        elif name in ("mutex_lock", "mutex_unlock", "mutex_trylock"):
            yield Site(line.address, Kind.MUTEX, "other", name, machine)
        elif name.endswith("memcpy") and machine:
            # The only copy there: the control code's. Whether it is, the argument says.
            yield Site(line.address, Kind.STEP, "copy-control-code", name, machine)
        elif step is None and not name.startswith(_HELPERS):
            yield Site(line.address, Kind.STEP, "other", name or line.operands, machine)
        elif step is not None:
            yield Site(line.address, Kind.STEP, step, name, machine)
            if step == "relocate-kernel":
                yield Site(after, Kind.BACK, machine=machine)
            if step in self._fallible:
                yield Site(after, Kind.RESULT, step, machine=machine)

    def _called(self, address: int) -> tuple[str, str | None]:
        """A function's name, the one that the model knows if it has several, and its step."""
        found = self._symbols.find(address)
        if found is None:
            return "", None
        name, offset = found
        if offset:
            return name, None
        names = [name] + [other for other, at in self._names.items() if at == address]
        for each in names:
            step = _OUT_OF_LINE.get(each) or jj.step_of_symbol(each)
            if step is not None:
                return each, step
        return name, None


@functools.lru_cache(maxsize=8)
def sites_of(symbols: Symbols, release: str) -> Sites:
    return Sites(symbols, release)


def _writes(line: _Line) -> bool:
    """AT&T: what is written comes last."""
    last = line.operands.rpartition(",")[2] if "," in line.operands else line.operands
    return not last.strip().startswith("%")


def _machine_step(line: _Line, relocate: int) -> str:
    operands = line.operands.replace(" ", "")
    if line.mnemonic.startswith("mov") and operands.endswith(",%ss"):
        return "load-segments"
    if line.mnemonic.startswith("mov") and operands.endswith(("%db7", "%dr7")):
        return "disable-breakpoints"
    if line.mnemonic.startswith("lgdt"):
        return "invalidate-gdt"
    if line.mnemonic.startswith("lidt"):
        return "invalidate-idt"
    if line.repeated and line.mnemonic.startswith("movs"):
        return "copy-control-code"
    return ""


def _disassembly(path: Path, start: int, stop: int) -> str:
    command = ["objdump", "-d", "--no-show-raw-insn", f"--start-address={start:#x}"]
    command += [f"--stop-address={stop:#x}", str(path)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_LIMIT, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InfraError(f"objdump (Debian: binutils) did not run: {error}") from error
    if done.returncode != 0:
        raise InfraError(f"objdump: {done.stderr.strip()}")
    return done.stdout
