# SPDX-License-Identifier: GPL-2.0-or-later
"""QEMU as a machine: process, QMP, gdbstub, console and RAM file of one life, kept in step.

Publishes events; does not wait for any. The driver thread owns the gdbstub while the machine runs,
whoever calls owns it while the machine stands still.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import queue
import shlex
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from harness.errors import InfraError, LostMachine
from harness.machine.breakpoints import BreakpointSet
from harness.machine.config import Channels, MachineConfig, qemu_command
from harness.machine.console import Console
from harness.machine.device_state import load_devices, save_devices
from harness.machine.events import (
    Breakpoint,
    ConsoleLine,
    Event,
    Lost,
    PowerOff,
    Reset,
    SleepState,
    TripleFault,
)
from harness.machine.gdb import GdbClient
from harness.machine.interrupts import InterruptControllers, parse_ioapic, parse_lapic, parse_pics
from harness.machine.process import ChildProcess
from harness.machine.qmp import QmpClient, QmpError, QmpEvent
from harness.machine.ram import RamFile
from harness.machine.registers import Registers, build_registers
from harness.machine.rsp import GdbError

START_LIMIT = 20.0  # seconds until QEMU answers; usual: 0.1
STOP_LIMIT = 10.0  # seconds until all CPUs stand still; usual: below 0.01
CONSOLE_BUFFER = 1 << 20  # bytes, the most that an unprivileged process may ask for
QUIT_LIMIT = 5.0  # seconds until QEMU has ended by itself; then it is killed


class Engine:
    def __init__(
        self,
        config: MachineConfig,
        folder: Path,
        command_line: str,
        publish: Callable[[Event], None],
        now: Callable[[], float],
    ) -> None:
        self._config = config
        self._publish = publish
        self._now = now
        self._log = folder / "qemu.log"
        self._changed = threading.Condition(threading.RLock())
        self._running = False
        self._over = ""  # why the guest can run no more
        self._ending = False  # the rig itself is ending the machine
        self._pause_wanted = False
        self._asked_s4 = False
        self._shutdown: QmpEvent | None = None
        self._exit = ""
        self._process: ChildProcess | None = None
        self._requests: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._driver = threading.Thread(target=self._drive, name="driver", daemon=True)

        self.ram = RamFile(config.memory)
        ours: dict[str, socket.socket] = {}
        self._theirs: dict[str, socket.socket] = {}
        for name in ("qmp", "gdb", "agent"):
            ours[name], self._theirs[name] = socket.socketpair()
        _widen(self._theirs["agent"])
        console, self._console_end = os.pipe()
        fcntl.fcntl(self._console_end, fcntl.F_SETPIPE_SZ, CONSOLE_BUFFER)
        channels = Channels(
            **{name: sock.fileno() for name, sock in self._theirs.items()},
            console=self._console_end,
            ram=self.ram.fd,
        )
        self.argv = qemu_command(config, channels, self._log, command_line)
        self._folder = folder
        self._pass_fds = [sock.fileno() for sock in self._theirs.values()]
        self._pass_fds += [self._console_end, self.ram.fd]
        self.agent = ours["agent"]
        self.qmp = QmpClient(ours["qmp"], self._take_qmp, self._lose_qmp)
        self.gdb = GdbClient(ours["gdb"])
        self.breakpoints = BreakpointSet(self.gdb)
        self._threads: list[int] = []
        self._console = Console(console, folder / "console.log", self._take_line)

    def start(self, devices: Path | None = None) -> None:
        """``devices``: what ``save_devices`` wrote; RAM and disks are in place already."""
        (self._folder / "qemu.args").write_text(shlex.join(self.argv) + "\n")
        self._process = ChildProcess(
            self.argv,
            self._folder / "qemu.stderr",
            self._pass_fds,
            self._take_exit,
            self._config.environment,
        )
        self._close_theirs()
        try:
            self.qmp.connect(START_LIMIT)
            self.gdb.connect()
            self._threads = self.gdb.threads()
            if devices is not None:
                load_devices(self.qmp, devices)
        except LostMachine as error:
            self._process.wait(1.0)  # so that its own complaint is there to be quoted
            message = f"QEMU did not start: {self._death() or error}"
            self.kill()
            raise LostMachine(message) from error
        self._driver.start()

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.running

    @property
    def pid(self) -> int:
        """QEMU's; 0 before start()."""
        return self._process.pid if self._process is not None else 0

    @property
    def running(self) -> bool:
        return self._running and not self._over

    # Running and standing still

    def resume(self) -> None:
        with self._changed:
            if self._over:
                raise LostMachine(f"cannot resume: {self._over}")
            if self._running:
                return
            self._running = True
            self._pause_wanted = False
            self._requests.put(True)

    def pause(self) -> None:
        with self._changed:
            if not self._running:
                return
            self._pause_wanted = True
            with contextlib.suppress(GdbError):  # lost: the driver notices too
                self.gdb.interrupt()
            self._await_stop()

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        was_running = self._running
        self.pause()
        yield
        # A breakpoint may have been hit just before the pause: its event stands, and the machine.
        if was_running and self._pause_wanted and not self._over:
            self.resume()

    def _await_stop(self) -> None:
        if not self._changed.wait_for(lambda: not self._running, STOP_LIMIT):
            raise LostMachine(f"QEMU's CPUs did not stop within {STOP_LIMIT:g} s")

    def _require_stop(self) -> None:
        """The end of a life is told by QMP a moment before the gdbstub tells of the stop."""
        with self._changed:
            if self._running and self._over:
                self._await_stop()
            if self._running:
                raise InfraError("the machine runs: pause it before looking inside")
            if not self.alive:
                raise LostMachine(f"the machine has ended: {self._exit or 'not started'}")

    def _drive(self) -> None:
        while self._requests.get():
            event: Event | None = None
            try:
                stop = self.breakpoints.run(lambda: self._pause_wanted)
                if stop is not None:
                    hit, spec = stop
                    event = Breakpoint(self._now(), hit.cpu, hit.address, spec.symbol)
            except GdbError as error:
                event = self._lost_event(str(error))
            except Exception as error:  # a condition's own: the waiter must hear of it
                event = self._condition_failed(error)
            with self._changed:
                self._running = False
                if isinstance(event, Breakpoint):
                    self._pause_wanted = False
                if event is not None:
                    self._publish(event)
                self._changed.notify_all()

    # What the machine tells

    def _take_line(self, text: str) -> None:
        self._publish(ConsoleLine(self._now(), text))

    def _take_qmp(self, event: QmpEvent) -> None:
        if event.name == "SUSPEND_DISK":
            # hw/acpi/core.c tells this just before it asks for a shutdown: S4, not S5.
            self._asked_s4 = True
        elif event.name == "SHUTDOWN":
            self._shutdown = event
        elif event.name == "STOP" and self._shutdown is not None:
            # SHUTDOWN comes before the CPUs stop; only now do RAM and registers hold still.
            self._end_life(self._ending_event(self._shutdown))

    def _ending_event(self, shutdown: QmpEvent) -> Event:
        reason = shutdown.data.get("reason")
        if reason == "guest-reset":
            return TripleFault(self._now()) if self._triple_faulted() else Reset(self._now())
        if reason in ("guest-shutdown", "guest-panic"):
            return PowerOff(self._now(), SleepState.S4 if self._asked_s4 else SleepState.S5)
        return Lost(self._now(), f"QEMU shut down by itself: {reason}")

    def _triple_faulted(self) -> bool:
        try:
            return b"Triple fault" in self._log.read_bytes()
        except OSError:
            return False

    def _end_life(self, event: Event) -> None:
        with self._changed:
            if self._over:
                return
            self._over = event.describe()
        self._publish(event)

    def _lost_event(self, reason: str) -> Event | None:
        """None if the loss is no news: the rig ends the machine, or it was told already."""
        with self._changed:
            if self._ending or self._over:
                return None
            if self._process is not None:
                self._process.wait(1.0)  # its exit status says more than a broken connection
            self._over = self._death() or reason
            return Lost(self._now(), self._over)

    def _condition_failed(self, error: Exception) -> Event:
        with self._changed:
            self._over = f"a breakpoint's condition failed: {error!r}"
            return Lost(self._now(), self._over)

    def _lose_qmp(self, reason: str) -> None:
        event = self._lost_event(f"QMP: {reason}")
        if event is not None:
            self._publish(event)

    def _take_exit(self, status: str) -> None:
        self._exit = status

    def _death(self) -> str:
        """How the process died, with its last words; "" while it lives."""
        if self.alive or self._process is None:
            return ""
        words = self._process.stderr_tail()
        return f"QEMU ended: {self._exit}" + (f"; it said: {words}" if words else "")

    # Looking inside

    def registers(self, cpu: int) -> Registers:
        self._require_stop()
        return build_registers(
            cpu, self.gdb.registers(self._thread(cpu)), self.qmp.hmp("info registers", cpu)
        )

    def write_register(self, cpu: int, name: str, value: int) -> None:
        self._require_stop()
        self.gdb.write_register(self._thread(cpu), name, value)

    def read_virtual(self, address: int, length: int, cpu: int) -> bytes:
        self._require_stop()
        return self.gdb.read_memory(self._thread(cpu), address, length)

    def write_virtual(self, address: int, data: bytes, cpu: int) -> None:
        self._require_stop()
        self.gdb.write_memory(self._thread(cpu), address, data)

    def interrupt_controllers(self) -> InterruptControllers:
        self._require_stop()
        texts = {f"info lapic {cpu}": "" for cpu in range(len(self._threads))}
        texts.update({"info pic": "", "info irq": ""})
        for command in texts:
            texts[command] = self.qmp.hmp(command)
        return InterruptControllers(
            lapics={
                cpu: parse_lapic(texts[f"info lapic {cpu}"]) for cpu in range(len(self._threads))
            },
            ioapic=parse_ioapic(texts["info pic"]),
            pics=parse_pics(texts["info pic"]),
            text=texts,
        )

    def places(self, symbolize: Callable[[int], str]) -> list[str]:
        """Where each CPU is, for messages. Leaves the machine standing still."""
        self.pause()
        self._require_stop()
        return [symbolize(self.gdb.register(thread, "rip")) for thread in self._threads]

    def console_tail(self) -> list[str]:
        return self._console.tail()

    def _thread(self, cpu: int) -> int:
        if not 0 <= cpu < len(self._threads):
            raise InfraError(f"CPU {cpu}: this machine has CPUs 0 to {len(self._threads) - 1}")
        return self._threads[cpu]

    def save_devices(self, path: Path) -> None:
        """CPUs and devices, without RAM; the machine can go on afterwards."""
        self._require_stop()
        if self._over:
            raise InfraError(f"cannot save the machine: {self._over}")
        save_devices(self.qmp, path)

    def console_bytes(self) -> bytes:
        """All that came so far; the machine must stand still."""
        self._require_stop()
        return self._console.settled()

    def replay_console(self, data: bytes) -> None:
        """What the guest had said before it was saved; before the machine runs."""
        self._console.replay(data)

    # The end

    def hang_up_agent(self) -> None:
        """Whoever waits for the guest's agent gets end-of-file instead of waiting on."""
        with contextlib.suppress(OSError):
            self.agent.shutdown(socket.SHUT_RDWR)

    def quit(self) -> None:
        self._ending = True
        if self._process is not None and self._process.running:
            try:
                self.qmp.execute("quit", timeout=QUIT_LIMIT)
            except QmpError:
                pass  # died meanwhile, or hangs: then it is killed below
            self._process.wait(QUIT_LIMIT)
        self.kill()

    def kill(self) -> None:
        with self._changed:
            self._ending = True
            self._over = self._over or "the rig ended the machine"
        if self._process is not None:
            self._process.kill()
            self._console.drain(1.0)
        self._requests.put(False)
        self.gdb.close()
        if self._driver.is_alive() and self._driver is not threading.current_thread():
            self._driver.join(STOP_LIMIT)
        self.qmp.close()
        self._console.close()
        self.hang_up_agent()

    def close(self) -> None:
        """After ``kill``: gives back what is left."""
        self.agent.close()
        self._close_theirs()
        self.ram.close()

    def _close_theirs(self) -> None:
        """The machine's ends, so that its death is an end-of-file at ours. Safe to call twice."""
        for sock in self._theirs.values():
            sock.close()
        if self._console_end >= 0:
            os.close(self._console_end)
            self._console_end = -1


def _widen(sock: socket.socket) -> None:
    """As large a send buffer as we may have: each byte that a serial port sends takes a whole
    socket buffer of the kernel's. Without it the agent's protocol repeats what was lost."""
    size = 32 << 20
    try:
        sock.setsockopt(socket.SOL_SOCKET, 32, size)  # SO_SNDBUFFORCE, with CAP_NET_ADMIN
    except OSError:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, size)  # the system's limit holds
