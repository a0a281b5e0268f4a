# SPDX-License-Identifier: GPL-2.0-or-later
"""One power-on of a machine: from reset vector to reset, power-off or death.

Threads: QMP's and the console's readers publish events; the driver lets the machine run and takes
its stops; the caller waits. Guest RAM stays readable until ``close()``, also after the end.
"""

from __future__ import annotations

import contextlib
import re
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import GuestHang, GuestPanic, InfraError, JumpbackError, LostMachine
from harness.machine.breakpoints import BreakpointSpec, Condition
from harness.machine.config import MachineConfig
from harness.machine.console import Severity, classify
from harness.machine.engine import Engine
from harness.machine.eventlog import EventLog, Until, matcher
from harness.machine.events import (
    Breakpoint,
    ConsoleLine,
    Event,
    Hang,
    Lost,
    Panic,
    UnexpectedEnd,
    outcome_of,
)
from harness.machine.gdb import BreakpointKind
from harness.machine.interrupts import InterruptControllers
from harness.machine.ram import RamFile
from harness.machine.registers import Registers
from harness.results import EventRecord, LifeOutcome, LifeRecord, StageRecord

DEFAULT_LIMIT = 60.0  # seconds, for a wait outside of any stage
CONSOLE_TAIL = 20  # lines that an error message quotes


@dataclass(frozen=True)
class Past:
    """What the host knows of a life that stands still."""

    console: bytes  # the log, complete
    reported: tuple[int, int] | None  # CPU's thread and address of a breakpoint that it stands at
    memo: dict[str, Any]


class Life:
    """Made by ``Machine.new_life``. ``symbolize`` turns a guest address into "name+0x12".

    ``memo``: what else is to be known again of a guest that is restored (addresses, random words);
    all of it goes into JSON.
    """

    def __init__(
        self,
        config: MachineConfig,
        record: LifeRecord,
        folder: Path,
        origin: float,
        symbolize: Callable[[int], str] = hex,
    ) -> None:
        self.config = config
        self.record = record
        self.folder = folder
        self.memo: dict[str, Any] = {}
        self._origin = origin
        self._symbolize = symbolize
        self._log = EventLog()
        self._cursor = 0
        self._stage: tuple[str, float, float] | None = None  # name, limit, deadline (monotonic)
        self._engine = Engine(config, folder, record.command_line, self._publish, self.now)

    # Life and death

    def start(self, devices: Path | None = None) -> None:
        """Powers the machine on; it stands still before its first instruction until resume().

        ``devices``: what ``save_devices`` wrote; see ``Snapshot.restore`` (snapshot.py).
        """
        self._engine.start(devices)
        self.record.machine_command = list(self._engine.argv)

    def quit(self) -> None:
        """Ends the machine; its RAM file stays. Safe to call twice, and after the guest's end."""
        self._engine.quit()
        self._close_record()

    def kill(self) -> None:
        """Pulls the plug: SIGKILL. What the guest had written to disk by then is written."""
        self._engine.kill()
        self._close_record()

    def close(self) -> None:
        """Ends the machine if need be and gives back its RAM."""
        self.quit()
        self._engine.close()

    @property
    def alive(self) -> bool:
        """The machine's process exists. The guest may be over nevertheless: see ``outcome``."""
        return self._engine.alive

    @property
    def pid(self) -> int:
        """Of the machine's process, for faults and for measuring."""
        return self._engine.pid

    @property
    def outcome(self) -> LifeOutcome:
        return self.record.outcome

    @property
    def agent(self) -> socket.socket:
        """The host's end of ttyS1. It is shut down (end-of-file) once the guest is over."""
        return self._engine.agent

    @property
    def ram(self) -> RamFile:
        """Guest RAM: ``.path``, ``.size``, ``.ranges``."""
        return self._engine.ram

    @property
    def qemu_version(self) -> str:
        return self._engine.qmp.version

    # Time

    def now(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self._origin

    def remaining(self) -> float:
        """Seconds left of the current stage's limit; at least 0."""
        if self._stage is None:
            return DEFAULT_LIMIT
        return max(0.0, self._stage[2] - time.monotonic())

    @contextlib.contextmanager
    def stage(self, name: str, limit: float) -> Iterator[StageRecord]:
        """A stage of the timeline; waits inside share its ``limit`` (seconds).

        The record's end stays None if an exception leaves the stage: there the run died.
        """
        record = StageRecord(name, self.now())
        self.record.stages.append(record)
        outer = self._stage
        self._stage = (name, limit, time.monotonic() + limit)
        try:
            yield record
        finally:
            self._stage = outer
        record.end = self.now()

    # Waiting

    def wait(self, until: Until, timeout: float | None = None) -> Event:
        """The first event that matches ``until`` and was not returned before.

        ``until``: an event class, a tuple of them, or a predicate. ``timeout``: seconds; by
        default what is left of the stage. While waiting:
        GuestPanic, LostMachine, UnexpectedEnd: the life ended otherwise;
        GuestHang: the time is over; names the stage, where the CPUs are, and the console's tail;
        InfraError: the machine stands at a breakpoint that nobody waits for.
        """
        wanted = matcher(until)
        limit = self.remaining() if timeout is None else timeout
        found = self._log.wait(
            lambda event: wanted(event) or not event.passing, self._cursor, limit
        )
        if found is None:
            raise self.hang(limit if timeout is not None or not self._stage else self._stage[1])
        self._cursor, event = found
        if wanted(event):
            self._cursor += 1
            return event
        self._raise_for(event)
        self._cursor += 1
        raise InfraError(
            f"{self._where()}: {event.describe()}, but nothing waits for it; "
            "remove breakpoints that have done their duty"
        )

    def wait_console(self, pattern: str, timeout: float | None = None) -> ConsoleLine:
        """The next console line in which the regular expression ``pattern`` is found."""
        expression = re.compile(pattern)
        event = self.wait(
            lambda event: isinstance(event, ConsoleLine)
            and expression.search(event.text) is not None,
            timeout,
        )
        assert isinstance(event, ConsoleLine)
        return event

    def run_until_breakpoint(
        self, addresses: int | set[int] | None = None, timeout: float | None = None
    ) -> Breakpoint:
        """Lets the machine go until it stops at one of ``addresses`` (None: at any breakpoint).

        Addresses that have no breakpoint yet get one for this call only.
        """
        wanted = {addresses} if isinstance(addresses, int) else addresses
        temporary = (wanted or set()) - self._engine.breakpoints.addresses()
        for address in temporary:
            self.add_breakpoint(address)
        if not self.running:
            self.resume()
        event = self.wait(
            lambda event: isinstance(event, Breakpoint)
            and (wanted is None or event.address in wanted),
            timeout,
        )
        for address in temporary:
            self.remove_breakpoint(address)
        assert isinstance(event, Breakpoint)
        return event

    def check(self) -> None:
        """Raises what ``wait`` would raise if the guest is over; else returns at once."""
        for event in self._log.all()[self._cursor :]:
            if isinstance(event, Panic) or event.ends_life:
                self._raise_for(event)

    def hang(self, limit: float) -> GuestHang:
        """Records a hang of the current stage and returns the exception to raise."""
        name = self._stage[0] if self._stage else "outside of any stage"
        event = Hang(self.now(), name, limit)
        self._publish(event)
        text = f"{self._where()}: {event.describe()}{self._places()}"
        return GuestHang(text + self._quote_console())

    def silence(self, what: str) -> GuestHang:
        """Records that the guest does not answer; returns the exception to raise. ``what``: who
        was silent, and for how long."""
        self._publish(Hang(self.now(), self._stage[0] if self._stage else "", 0.0))
        return GuestHang(f"{self._where()}: {what}{self._places()}{self._quote_console()}")

    # Control

    @property
    def running(self) -> bool:
        return self._engine.running

    def resume(self) -> None:
        """Lets all CPUs run. Raises LostMachine if this life is over, and says how it ended."""
        self._engine.resume()

    def pause(self) -> None:
        """All CPUs stand still. Nothing happens if they do already."""
        self._engine.pause()

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Stands still inside, and goes on afterwards if it was running."""
        with self._engine.paused():
            yield

    def nmi(self) -> None:
        """A non-maskable interrupt to every CPU."""
        self._engine.qmp.execute("inject-nmi")

    def add_breakpoint(
        self,
        address: int,
        symbol: str = "",
        condition: Condition | None = None,
        kind: BreakpointKind = BreakpointKind.HARDWARE,
    ) -> None:
        """Stops before the instruction at guest virtual ``address``, on any CPU.

        ``condition(hit)`` decides at each stop whether to stop or to go on by itself.
        """
        spec = BreakpointSpec(address, symbol or self._symbolize(address), condition, kind)
        with self._engine.paused():
            self._engine.breakpoints.add(spec)

    def remove_breakpoint(self, address: int) -> None:
        with self._engine.paused():
            self._engine.breakpoints.remove(address)

    # What it looks like inside; the machine must stand still

    def registers(self, cpu: int) -> Registers:
        return self._engine.registers(cpu)

    def write_register(self, cpu: int, name: str, value: int) -> None:
        """By the stub's names: "rax", "rip", also for 32-bit kernels."""
        self._engine.write_register(cpu, name, value)

    def monitor(self, command: str) -> str:
        """What QEMU's human monitor answers: for state that no other method shows."""
        return self._engine.qmp.hmp(command)

    def interrupt_controllers(self) -> InterruptControllers:
        return self._engine.interrupt_controllers()

    def read_virtual(self, address: int, length: int, cpu: int = 0) -> bytes:
        """As mapped by that CPU's page tables now."""
        return self._engine.read_virtual(address, length, cpu)

    def write_virtual(self, address: int, data: bytes, cpu: int = 0) -> None:
        """For faults; TCG forgets code translated from there, unlike after a write to the file."""
        self._engine.write_virtual(address, data, cpu)

    def read_physical(self, gpa: int, length: int) -> bytes:
        """From the RAM file; small pieces. Device memory is not in it."""
        return self.ram.read(gpa, length)

    # Saving and going on from there (snapshot.py)

    def save_devices(self, path: Path) -> None:
        """CPUs and devices into a new file, without RAM; changes nothing."""
        self._engine.save_devices(path)

    def past(self) -> Past:
        """What else a life that goes on from here has to know."""
        return Past(self._engine.console_bytes(), self._engine.breakpoints.reported, self.memo)

    def take_past(self, past: Past) -> None:
        """The console's problems so far are this life's, too."""
        self._engine.replay_console(past.console)
        self._engine.breakpoints.reported = past.reported
        self.memo = past.memo
        self.forget_past()

    def forget_past(self) -> None:
        """No breakpoints, and no event so far is waited for: as in a life that was restored."""
        for address in self._engine.breakpoints.addresses():
            self.remove_breakpoint(address)
        self._cursor = len(self._log)

    # What it has told

    def tell(self, event: Event) -> None:
        """Adds an event that somebody outside has learnt of, such as ``GuestSaid``."""
        self._publish(event)

    def events(self) -> list[Event]:
        return self._log.all()

    def console_tail(self, lines: int = CONSOLE_TAIL) -> list[str]:
        return self._engine.console_tail()[-lines:]

    def console_problems(self, least: Severity = Severity.WARNING) -> list[ConsoleLine]:
        """Console lines that tell of a warning, an oops, or worse."""
        return [
            event
            for event in self._log.all()
            if isinstance(event, ConsoleLine) and classify(event.text) >= least
        ]

    def _publish(self, event: Event) -> None:
        """Runs in whichever thread has learnt of the event."""
        if not isinstance(event, ConsoleLine):
            self.record.events.append(EventRecord(event.time, event.kind, event.describe()))
        outcome = outcome_of(event)
        if outcome is not None and self.record.outcome is LifeOutcome.RUNNING:
            self.record.outcome = outcome
            self.record.detail = event.describe()
            self.record.end = event.time
        if not isinstance(event, Hang):  # a hang is told by exception; nothing waits for it
            self._log.append(event)
        if isinstance(event, ConsoleLine) and classify(event.text) is Severity.PANIC:
            self._publish(Panic(event.time, event.text))
        elif isinstance(event, Panic) or event.ends_life:
            self._engine.hang_up_agent()

    def _raise_for(self, event: Event) -> None:
        if isinstance(event, Panic):
            raise GuestPanic(f"{self._where()}: {event.text}{self._quote_console()}")
        if isinstance(event, Lost):
            raise LostMachine(f"{self._where()}: {event.describe()}{self._quote_console()}")
        if event.ends_life:
            message = f"{self._where()}: {event.describe()}{self._quote_console()}"
            raise UnexpectedEnd(message, event)

    def _where(self) -> str:
        stage = f", stage {self._stage[0]}" if self._stage else ""
        return f"life {self.record.index} ({self.record.role}){stage}"

    def _places(self) -> str:
        with contextlib.suppress(JumpbackError):
            return f"; CPUs at {', '.join(self._engine.places(self._symbolize))}"
        return ""

    def _quote_console(self) -> str:
        tail = self.console_tail()
        return "\nconsole:\n" + "\n".join(f"  {line}" for line in tail) if tail else ""

    def _close_record(self) -> None:
        if self.record.outcome is LifeOutcome.RUNNING:
            self.record.outcome = LifeOutcome.STOPPED
        if self.record.end is None:
            self.record.end = self.now()
