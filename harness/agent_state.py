# SPDX-License-Identifier: GPL-2.0-or-later
"""What the agent in the guest answers, as typed data.

Times are nanoseconds of the guest's clocks. Addresses: ``va`` in the process that holds the thing,
``pa`` guest physical (None: the kernel does not tell, CONFIG_PROC_PAGE_MONITOR).
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.agent_frames import Fields


@dataclass(frozen=True)
class Hello:
    version: str  # of the protocol
    pid: int
    life: str  # jumpback.life= of the command line that booted this kernel; "": none was given
    release: str
    machine: str
    boot_id: str  # "": the kernel has no CONFIG_PROC_SYSCTL
    cpus: str  # as /sys/devices/system/cpu/online has it, "0-1"
    monotonic_ns: int
    boottime_ns: int
    realtime_ns: int

    @classmethod
    def parse(cls, fields: Fields) -> Hello:
        return cls(
            version=fields.text("version"),
            pid=fields.number("pid"),
            life=fields.text("life"),
            release=fields.text("release"),
            machine=fields.text("machine"),
            boot_id=fields.text("boot_id"),
            cpus=fields.text("cpus"),
            monotonic_ns=fields.number("monotonic_ns"),
            boottime_ns=fields.number("boottime_ns"),
            realtime_ns=fields.number("realtime_ns"),
        )


@dataclass(frozen=True)
class CommandResult:
    exit: int | None  # None: ended by a signal
    signal: int | None
    timed_out: bool
    output: bytes  # stdout and stderr as they came
    dropped: int  # bytes beyond what the agent keeps (4 MiB)

    @property
    def good(self) -> bool:
        return self.exit == 0 and not self.timed_out

    @property
    def text(self) -> str:
        return self.output.decode("utf-8", "replace")


@dataclass(frozen=True)
class Nonce:
    name: str
    value: str
    va: int
    pa: int | None


@dataclass(frozen=True)
class CpuProof:
    cpu: int
    count: int  # steps that a process pinned to it did; 0: it does not execute
    error: str  # errno name of pinning to it; "": none

    @property
    def alive(self) -> bool:
        return self.count > 0 and not self.error


@dataclass(frozen=True)
class AttemptResult:
    """The last write of "disk" to /sys/power/state, or the last reboot(LINUX_REBOOT_CMD_KEXEC)."""

    id: str  # of the HIBERNATE or JUMP request
    running: bool
    returned: bool
    errno: int  # 0: it succeeded, that is, the machine was resumed, or somebody jumped back
    error: str  # its name
    monotonic_before_ns: int
    boottime_before_ns: int
    realtime_before_ns: int
    monotonic_after_ns: int
    boottime_after_ns: int
    realtime_after_ns: int

    @property
    def good(self) -> bool:
        return self.returned and not self.running and self.errno == 0

    @classmethod
    def parse(cls, fields: Fields) -> AttemptResult:
        return cls(
            id=fields.text("id"),
            running=fields.number("running") != 0,
            returned=fields.number("returned") != 0,
            errno=fields.number("errno"),
            error=fields.text("error"),
            monotonic_before_ns=fields.number("monotonic_before_ns"),
            boottime_before_ns=fields.number("boottime_before_ns"),
            realtime_before_ns=fields.number("realtime_before_ns"),
            monotonic_after_ns=fields.number("monotonic_after_ns"),
            boottime_after_ns=fields.number("boottime_after_ns"),
            realtime_after_ns=fields.number("realtime_after_ns"),
        )


@dataclass(frozen=True)
class WorkloadState:
    """What every kind of workload tells; :meth:`problems` is empty where all is well."""

    name: str
    kind: str
    pid: int
    alive: bool
    same_process: bool  # the process id still belongs to the process that was started
    exit: int | None  # None: it runs, or a signal ended it
    signal: int | None
    ready: bool  # set up, and doing what it is for
    progress: int  # goes up as long as it lives
    went_back: bool  # progress was lower than at an earlier query
    errors: int  # found by the workload's own checks
    first_error: str
    commands: int
    commands_done: int
    monotonic_ns: int  # when this was read
    boottime_ns: int
    va: int  # of the page in which the workload keeps its numbers
    pa: int | None

    def problems(self) -> list[str]:
        """One sentence for each thing that is not as it has to be."""
        found = []
        if not self.same_process:
            found.append(f"{self.name}: process {self.pid} is not the one that was started")
        elif not self.alive:
            how = f"exit {self.exit}" if self.signal is None else f"signal {self.signal}"
            found.append(f"{self.name}: process {self.pid} has ended ({how})")
        if self.went_back:
            found.append(f"{self.name}: its progress went back")
        if self.errors:
            found.append(f"{self.name}: {self.errors} errors, the first: {self.first_error}")
        return found


@dataclass(frozen=True)
class CounterState(WorkloadState):
    nonce: str
    count: int
    count_va: int
    started_ns: int
    largest_step: int  # 1: nobody else has changed the count; 0: it has not begun
    longest_pause_ns: int
    restarts: int


@dataclass(frozen=True)
class TmpfileState(WorkloadState):
    path: str
    size: int
    written: int
    checks: int  # how often all that was written has been read back
    first_bad_fd: int | None  # byte offset
    first_bad_path: int | None

    @property
    def finished(self) -> bool:
        return self.written == self.size


@dataclass(frozen=True)
class OneShot:
    due_ns: int  # on its own clock
    fired_ns: int  # 0: not yet
    expirations: int

    @property
    def fired(self) -> bool:
        return self.fired_ns != 0


@dataclass(frozen=True)
class TimerState(WorkloadState):
    monotonic: OneShot  # timerfd on CLOCK_MONOTONIC
    boottime: OneShot  # timerfd on CLOCK_BOOTTIME
    posix: OneShot  # timer_create on CLOCK_MONOTONIC, by signal
    interval_ns: int
    ticks: int
    ticks_due: int  # by CLOCK_MONOTONIC, when this was read

    @property
    def fired(self) -> bool:
        """Whether every one-shot timer has."""
        return self.monotonic.fired and self.boottime.fired and self.posix.fired


@dataclass(frozen=True)
class MemoryState(WorkloadState):
    bytes: int
    passes: int
    first_bad: int | None  # byte offset


@dataclass(frozen=True)
class CpuState(WorkloadState):
    rounds: int
    expected: int
    current_cpu: int


@dataclass(frozen=True)
class DiskState(WorkloadState):
    device: str
    bytes: int
    direct: bool
    writes: int
    reads: int
    first_bad: int | None  # byte offset on the device


def _offset(fields: Fields, key: str) -> int | None:
    value = fields.number(key)
    return None if value < 0 else value


def _one_shot(fields: Fields, name: str) -> OneShot:
    return OneShot(
        due_ns=fields.number(f"{name}_due_ns"),
        fired_ns=fields.number(f"{name}_fired_ns"),
        expirations=fields.number(f"{name}_expirations"),
    )


def parse_workload(name: str, fields: Fields) -> WorkloadState:
    """KeyError or ValueError: the agent's answer is not complete."""
    kind = fields.text("kind")
    base = WorkloadState(
        name=name,
        kind=kind,
        pid=fields.number("pid"),
        alive=fields.number("alive") != 0,
        same_process=fields.number("same_process") != 0,
        exit=fields.optional_number("exit"),
        signal=fields.optional_number("signal"),
        ready=fields.number("ready") != 0,
        progress=fields.number("progress"),
        went_back=fields.number("went_back") != 0,
        errors=fields.number("errors"),
        first_error=fields.text("first_error"),
        commands=fields.number("commands"),
        commands_done=fields.number("commands_done"),
        monotonic_ns=fields.number("monotonic_ns"),
        boottime_ns=fields.number("boottime_ns"),
        va=fields.number("va"),
        pa=fields.optional_number("pa"),
    )
    common = vars(base)
    if kind == "counter":
        return CounterState(
            **common,
            nonce=fields.text("nonce"),
            count=fields.number("count"),
            count_va=fields.number("count_va"),
            started_ns=fields.number("started_ns"),
            largest_step=fields.number("largest_step"),
            longest_pause_ns=fields.number("longest_pause_ns"),
            restarts=fields.number("restarts"),
        )
    if kind == "tmpfile":
        return TmpfileState(
            **common,
            path=fields.text("path"),
            size=fields.number("size"),
            written=fields.number("written"),
            checks=fields.number("checks"),
            first_bad_fd=_offset(fields, "first_bad_fd"),
            first_bad_path=_offset(fields, "first_bad_path"),
        )
    if kind == "timer":
        return TimerState(
            **common,
            monotonic=_one_shot(fields, "monotonic"),
            boottime=_one_shot(fields, "boottime"),
            posix=_one_shot(fields, "posix"),
            interval_ns=fields.number("interval_ns"),
            ticks=fields.number("ticks"),
            ticks_due=fields.number("ticks_due"),
        )
    if kind == "memory":
        return MemoryState(
            **common,
            bytes=fields.number("bytes"),
            passes=fields.number("passes"),
            first_bad=_offset(fields, "first_bad"),
        )
    if kind == "cpu":
        return CpuState(
            **common,
            rounds=fields.number("rounds"),
            expected=fields.number("expected"),
            current_cpu=fields.number("current_cpu"),
        )
    if kind == "disk":
        return DiskState(
            **common,
            device=fields.text("device"),
            bytes=fields.number("bytes"),
            direct=fields.number("direct") != 0,
            writes=fields.number("writes"),
            reads=fields.number("reads"),
            first_bad=_offset(fields, "first_bad"),
        )
    raise ValueError(f"unknown kind of workload {kind!r}")
