# SPDX-License-Identifier: GPL-2.0-or-later
"""The machine with guests of a few instructions: every event, on a real QEMU under TCG."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.errors import GuestHang, GuestPanic, InfraError, LostMachine
from harness.machine import (
    Breakpoint,
    Hit,
    Life,
    Lost,
    Machine,
    PowerOff,
    Reset,
    SleepState,
    TripleFault,
    UnexpectedEnd,
)
from harness.machine.machine import NONCE_PARAMETER
from harness.results import LifeOutcome
from harness.tests.machine_guests import TinyGuest, build

pytestmark = pytest.mark.timeout(30)


class Rig:
    """Builds a guest and its machine."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.machines: list[Machine] = []

    def life(self, name: str, cpus: int = 1) -> tuple[Life, TinyGuest]:
        guest = build(name, self.folder)
        machine = Machine(guest.config(cpus), self.folder / name)
        self.machines.append(machine)
        life = machine.new_life()
        life.start()
        return life, guest


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    rig = Rig(tmp_path)
    yield rig
    for machine in rig.machines:
        machine.close()


@pytest.mark.parametrize(
    ("name", "kind", "outcome"),
    [
        ("s5", PowerOff, LifeOutcome.POWER_OFF_S5),
        ("s4", PowerOff, LifeOutcome.POWER_OFF_S4),
        ("reset", Reset, LifeOutcome.RESET),
        ("triple", TripleFault, LifeOutcome.TRIPLE_FAULT),
    ],
)
def test_ways_to_end_are_told_apart(
    rig: Rig, name: str, kind: type[PowerOff | Reset | TripleFault], outcome: LifeOutcome
) -> None:
    life, guest = rig.life(name)
    life.resume()
    event = life.wait((PowerOff, Reset, TripleFault), 20)
    assert type(event) is kind
    assert life.outcome is outcome
    if isinstance(event, PowerOff):
        assert event.state is (SleepState.S4 if name == "s4" else SleepState.S5)
    # The rig owns the end: memory and registers hold still and can be read.
    assert life.alive and not life.running
    assert life.read_physical(guest.symbols["_start"], 1) == b"\xbc"  # mov $imm32, %esp
    assert life.registers(0).control["cr0"] & 1
    life.quit()
    assert life.outcome is outcome
    assert life.read_physical(guest.symbols["_start"], 1) == b"\xbc"


def test_unexpected_end_is_raised_at_once(rig: Rig) -> None:
    life, _ = rig.life("s4")
    life.resume()
    began = time.monotonic()
    with life.stage("save", 20), pytest.raises(UnexpectedEnd, match="stage save.*S4") as caught:
        life.wait(Breakpoint)
    assert time.monotonic() - began < 10
    assert isinstance(caught.value.event, PowerOff)
    with pytest.raises(UnexpectedEnd):
        life.check()
    with pytest.raises(LostMachine, match="powered off"):
        life.resume()


def test_panic_ends_the_wait_at_once(rig: Rig) -> None:
    life, _ = rig.life("panic")
    life.resume()
    with pytest.raises(GuestPanic, match="not syncing: tiny"):
        life.wait(PowerOff, 20)
    seen = next(event for event in life.events() if event.kind == "panic")
    assert life.now() - seen.time < 5
    assert life.outcome is LifeOutcome.PANIC
    # Whoever waits for the agent is told, too.
    assert life.agent.recv(1) == b""


def test_hang_names_stage_place_and_console(rig: Rig) -> None:
    life, guest = rig.life("hello")
    life.resume()
    life.wait_console("hello", 20)
    with pytest.raises(GuestHang) as caught, life.stage("boot", 0.3):
        life.wait(PowerOff)
    message = str(caught.value)
    assert "stage boot" in message and "0.3 s" in message and "half" in message
    place = int(message.split("CPUs at ")[1].split()[0], 16)
    assert guest.symbols["hang"] <= place < guest.symbols["hang"] + 8
    assert life.outcome is LifeOutcome.HANG
    assert [stage.end for stage in life.record.stages] == [None]


def test_killed_qemu_is_lost(rig: Rig) -> None:
    life, _ = rig.life("spin")
    life.resume()
    threading.Timer(0.2, os.kill, (life.pid, signal.SIGKILL)).start()
    with pytest.raises(LostMachine, match="killed by SIGKILL"):
        life.wait(PowerOff, 20)
    assert life.outcome is LifeOutcome.LOST
    assert [event.kind for event in life.events()].count("lost") == 1
    assert isinstance(life.events()[-1], Lost)


def test_qemu_that_does_not_start_says_why(tmp_path: Path) -> None:
    guest = build("hang", tmp_path)
    config = guest.config(extra_args=("-device", "no-such-device"))
    with Machine(config, tmp_path) as machine:
        with pytest.raises(LostMachine, match="exit status 1.*no-such-device"):
            machine.new_life().start()


def test_quit_is_no_event(rig: Rig) -> None:
    life, _ = rig.life("spin")
    life.resume()
    began = time.monotonic()
    life.quit()
    assert time.monotonic() - began < 5
    assert life.outcome is LifeOutcome.STOPPED
    assert [event for event in life.events() if event.ends_life] == []


def test_console_log_and_time(rig: Rig) -> None:
    life, _ = rig.life("hello")
    life.resume()
    line = life.wait_console("^hello$", 20)
    assert 0 < line.time <= life.now()
    deadline = time.monotonic() + 5
    while "half" not in life.console_tail() and time.monotonic() < deadline:
        time.sleep(0.01)
    life.quit()
    log = (life.folder / "console.log").read_bytes()
    assert log.endswith(b"hello\r\nhalf")
    assert life.console_tail()[-1] == "half"


def test_agent_line_is_ttys1(rig: Rig) -> None:
    life, _ = rig.life("agent")
    life.resume()
    life.agent.settimeout(20)
    life.agent.sendall(b"A")
    assert life.agent.recv(1) == b"B"


def test_breakpoint_stops_before_the_instruction(rig: Rig) -> None:
    life, guest = rig.life("count")
    turn, counter = guest.symbols["turn"], guest.symbols["counter"]
    life.add_breakpoint(turn, "turn")
    for number in range(3):
        life.resume()
        event = life.wait(Breakpoint, 20)
        assert isinstance(event, Breakpoint)
        assert (event.cpu, event.address, event.symbol) == (0, turn, "turn")
        registers = life.registers(0)
        assert registers.rip == turn
        assert registers.general["rcx"] == 50 - number
        assert life.read_virtual(counter, 4) == number.to_bytes(4, "little")
        assert life.read_physical(counter, 4) == number.to_bytes(4, "little")
    life.remove_breakpoint(turn)
    life.resume()
    assert isinstance(life.wait(PowerOff, 20), PowerOff)
    assert life.read_physical(counter, 4) == (50).to_bytes(4, "little")


@pytest.mark.parametrize("cpus", [1, 2])
def test_condition_sees_every_turn_on_every_cpu(rig: Rig, cpus: int) -> None:
    """Going on by itself neither loses a turn nor runs one twice, with CPUs hitting at once."""
    life, guest = rig.life("smp" if cpus == 2 else "count", cpus)
    seen: list[int] = []

    def look(hit: Hit) -> bool:
        assert hit.register("rip") == guest.symbols["turn"]
        seen.append(hit.cpu)
        return False

    life.add_breakpoint(guest.symbols["turn"], condition=look)
    life.resume()
    life.wait(PowerOff, 20)
    counter = int.from_bytes(life.read_physical(guest.symbols["counter"], 4), "little")
    assert counter == 50 * cpus
    assert [seen.count(cpu) for cpu in range(cpus)] == [50] * cpus


def test_condition_decides(rig: Rig) -> None:
    life, guest = rig.life("count")
    turn = guest.symbols["turn"]
    life.add_breakpoint(turn, condition=lambda hit: hit.register("rcx") == 7)
    life.resume()
    life.wait(Breakpoint, 20)
    assert life.registers(0).general["rcx"] == 7
    # Moving rip, as fault injection does, is honoured: the loop ends at once.
    life.write_register(0, "rip", guest.symbols["hang"])
    life.resume()
    with pytest.raises(GuestHang):
        life.wait(PowerOff, 0.3)


def test_failing_condition_is_told(rig: Rig) -> None:
    life, guest = rig.life("count")
    life.add_breakpoint(guest.symbols["turn"], condition=lambda hit: bool(1 // 0))
    life.resume()
    with pytest.raises(InfraError, match="condition failed.*ZeroDivision"):
        life.wait(PowerOff, 20)


def test_stop_that_nobody_waits_for_is_an_error(rig: Rig) -> None:
    life, guest = rig.life("count")
    life.add_breakpoint(guest.symbols["turn"], "turn")
    life.resume()
    with pytest.raises(InfraError, match="stopped at turn"):
        life.wait(PowerOff, 20)


def test_run_until_breakpoint_cleans_up(rig: Rig) -> None:
    life, guest = rig.life("count")
    event = life.run_until_breakpoint(guest.symbols["turn"], 20)
    assert event.address == guest.symbols["turn"]
    assert life._engine.breakpoints.addresses() == set()
    life.resume()
    life.wait(PowerOff, 20)


def test_pause_and_resume(rig: Rig) -> None:
    life, guest = rig.life("spin")
    counter = guest.symbols["counter"]
    for _ in range(20):
        life.resume()
        life.pause()
        life.pause()  # harmless
        before = life.read_physical(counter, 4)
        assert life.read_physical(counter, 4) == before and not life.running
    life.run_until_breakpoint(guest.symbols["again"], 20)
    life.resume()
    time.sleep(0.1)
    with pytest.raises(InfraError, match="pause it"):
        life.registers(0)
    with life.paused():
        assert life.read_physical(counter, 4) != before
    assert life.running


def test_registers_and_controllers(rig: Rig) -> None:
    life, guest = rig.life("smp", 2)
    life.run_until_breakpoint(guest.symbols["turn"], 20)
    for cpu in (0, 1):
        registers = life.registers(cpu)
        assert registers.control["cr0"] & 1 and not registers.paging and not registers.long_mode
        assert registers.gdtr.limit >= 23
        assert registers.cpl == 0
    controllers = life.interrupt_controllers()
    assert sorted(controllers.lapics) == [0, 1]
    assert controllers.lapics[0]["icr"] & 0xFF == 0x08  # the vector of our SIPI
    assert len([name for name in controllers.ioapic if name.startswith("redirection")]) == 24
    assert [pic["irq_base"] for pic in controllers.pics] == [0x08, 0x70]
    with pytest.raises(InfraError, match="CPUs 0 to 1"):
        life.registers(2)


def test_lives_share_a_machine_and_leave_nothing(tmp_path: Path) -> None:
    guest = build("s5", tmp_path)
    fds = len(os.listdir("/proc/self/fd"))
    threads = threading.active_count()
    with Machine(guest.config(command_line="base"), tmp_path / "run") as machine:
        for index in (1, 2, 3):
            life = machine.new_life(f"n{index}", "C" if index > 1 else "A", append="more")
            life.start()
            life.resume()
            life.wait(PowerOff, 20)
            assert life.ram.path.stat().st_size == 32 << 20
            assert (tmp_path / "run" / f"life-{index:02}" / "qemu.args").read_text()
        assert [record.index for record in machine.records] == [1, 2, 3]
        assert machine.records[1].command_line == f"base more {NONCE_PARAMETER}=n2"
        assert str(machine.records[1].console_log) == "life-02/console.log"
        pids = [record.machine_command[0] for record in machine.records]
        assert pids == ["qemu-system-x86_64"] * 3
    assert len(os.listdir("/proc/self/fd")) == fds
    assert threading.active_count() == threads


def test_start_costs_little(rig: Rig) -> None:
    """Connecting and leaving are milliseconds of our own; QEMU itself needs the rest."""
    life, _ = rig.life("hang")
    began = time.monotonic()
    for _ in range(50):
        life.resume()
        life.pause()
    assert (time.monotonic() - began) / 50 < 0.05
    began = time.monotonic()
    life.registers(0)
    life.interrupt_controllers()
    assert time.monotonic() - began < 5
