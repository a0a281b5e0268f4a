# SPDX-License-Identifier: GPL-2.0-or-later
"""Each workload: well when left alone, red for the right reason when tampered with."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.agent import Agent, AgentError, AgentProtocolError, AgentRefused
from harness.agent_state import (
    CounterState,
    CpuState,
    DiskState,
    MemoryState,
    TimerState,
    TmpfileState,
    WorkloadState,
)
from harness.tests.agent_rig import host_agent, peek, poke, poke_number, stopped, wait_for

pytestmark = pytest.mark.timeout(60)


@pytest.fixture(name="agent")
def _agent(tmp_path: Path) -> Iterator[Agent]:
    with host_agent(tmp_path) as (_, agent):
        yield agent


def wait_for_error(agent: Agent, name: str) -> WorkloadState:
    wait_for(lambda: agent.query(name).errors > 0)
    state = agent.query(name)
    assert state.problems()
    return state


def test_counter_counts(agent: Agent) -> None:
    first = agent.start_counter("c", "nonce-1", interval_us=200)
    wait_for(lambda: agent.query("c", CounterState).count >= first.count + 20)
    state = agent.query("c", CounterState)
    assert state.problems() == []
    assert (state.nonce, state.pid, state.started_ns) == ("nonce-1", first.pid, first.started_ns)
    assert (state.largest_step, state.restarts) == (1, 0)
    assert state.longest_pause_ns > 0
    number = int.from_bytes(peek(state.pid, state.count_va, 8), "little")
    assert number >= state.count
    last = agent.stop("c", CounterState)
    assert last.count >= number
    assert agent.workloads() == []
    wait_for(lambda: not Path(f"/proc/{state.pid}").exists())


def test_counter_notices_a_changed_count(agent: Agent) -> None:
    first = agent.start_counter("c", "n")
    with stopped(first.pid):
        count = int.from_bytes(peek(first.pid, first.count_va, 8), "little")
        poke(first.pid, first.count_va, (count + 1000).to_bytes(8, "little"))
    state = wait_for_error(agent, "c")
    assert isinstance(state, CounterState)
    assert state.largest_step == 1001
    assert state.first_error == f"count is {count + 1000}, this process wrote {count}"


def test_counter_notices_a_changed_nonce(agent: Agent) -> None:
    first = agent.start_counter("c", "nonce-to-be-spoilt")
    with stopped(first.pid):
        place = peek(first.pid, first.va, 4096).find(b"spoilt")
        poke(first.pid, first.va + place, b"S")
    assert "nonce" in wait_for_error(agent, "c").first_error
    assert agent.query("c", CounterState).nonce == "nonce-to-be-Spoilt"


def test_a_killed_workload_is_reported(agent: Agent) -> None:
    first = agent.start_counter("c", "n")
    assert first.problems() == []
    os.kill(first.pid, signal.SIGKILL)
    event = agent.wait_event("workload-ended", 5)
    assert (event.fields.get("name"), event.fields.get("signal")) == ("c", "9")
    state = agent.query("c")
    assert (state.alive, state.signal) == (False, 9)
    assert state.problems() == [f"c: process {first.pid} has ended (signal 9)"]


def test_progress_that_goes_back_is_reported(agent: Agent) -> None:
    first = agent.start_counter("c", "n")
    wait_for(lambda: agent.query("c").progress > 5)
    with stopped(first.pid):
        progress = agent.query("c").progress
        place = peek(first.pid, first.va, 64).find(progress.to_bytes(8, "little"))
        poke(first.pid, first.va + place, (1).to_bytes(8, "little"))
        assert agent.query("c").problems() == ["c: its progress went back"]


def test_tmpfile_is_finished_through_its_old_descriptor(agent: Agent, tmp_path: Path) -> None:
    first = agent.start_tmpfile("f", seed=9, size=100_016)
    assert (first.written, first.finished) == (50_008, False)
    assert Path(first.path).stat().st_size == 50_008
    assert agent.verify_tmpfile("f").checks == 1
    state = agent.finish_tmpfile("f")
    assert state.problems() == []
    assert (state.finished, state.checks, state.written) == (True, 2, 100_016)
    other = agent.start_tmpfile("g", seed=10, size=100_016)
    assert Path(other.path).read_bytes() != Path(first.path).read_bytes()[:50_008]


@pytest.mark.parametrize("offset", [0, 4097, 50_007])
def test_tmpfile_reports_the_first_bad_byte(agent: Agent, offset: int) -> None:
    path = Path(agent.start_tmpfile("f", seed=9, size=100_016).path)
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 0x10]))
    state = agent.finish_tmpfile("f")
    assert (state.first_bad_fd, state.first_bad_path) == (offset, offset)
    assert f"offset {offset} " in state.problems()[0]


def test_tmpfile_reports_a_truncated_and_a_grown_file(agent: Agent) -> None:
    path = Path(agent.start_tmpfile("f", seed=9, size=100_016).path)
    os.truncate(path, 40_001)
    assert agent.verify_tmpfile("f").first_bad_fd == 40_001
    path = Path(agent.start_tmpfile("g", seed=9, size=100_016).path)
    os.truncate(path, 60_000)
    assert agent.verify_tmpfile("g").first_bad_fd == 50_008


def test_tmpfile_reports_another_file_at_its_path(agent: Agent, tmp_path: Path) -> None:
    path = Path(agent.start_tmpfile("f", seed=9, size=100_016).path)
    content = path.read_bytes()
    path.unlink()
    (tmp_path / "other").write_bytes(content)
    (tmp_path / "other").rename(path)
    assert "not the file that is held open" in agent.verify_tmpfile("f").first_error


def test_timers_fire_once_and_not_early(agent: Agent) -> None:
    agent.start_timer("t", delay=0.3, interval=0.02)
    assert not agent.query("t", TimerState).fired
    wait_for(lambda: agent.query("t", TimerState).fired)
    wait_for(lambda: agent.query("t", TimerState).ticks > 20)
    state = agent.query("t", TimerState)
    assert state.problems() == []
    for shot in (state.monotonic, state.boottime, state.posix):
        assert shot.expirations == 1
        assert 0 <= shot.fired_ns - shot.due_ns < 2_000_000_000
    assert state.interval_ns == 20_000_000
    assert state.ticks <= state.ticks_due + 1


def test_a_timer_that_fires_early_is_reported(agent: Agent) -> None:
    first = agent.start_timer("t", delay=0.5)
    with stopped(first.pid):
        due = first.monotonic.due_ns
        poke_number(first.pid, first.va, due, due + 3_600_000_000_000)
    assert "monotonic timer fired 3" in wait_for_error(agent, "t").first_error


@pytest.mark.parametrize("change", [50, -50])
def test_ticks_that_are_lost_or_invented_are_reported(agent: Agent, change: int) -> None:
    first = agent.start_timer("t", delay=30, interval=0.005)
    wait_for(lambda: agent.query("t", TimerState).ticks > 100)
    with stopped(first.pid):
        ticks = agent.query("t", TimerState).ticks
        page = peek(first.pid, first.va, 4096)
        place = page.rfind(ticks.to_bytes(8, "little"))  # the last number of the page
        poke(first.pid, first.va + place, (ticks + change).to_bytes(8, "little"))
    assert "ticks of 5 ms" in wait_for_error(agent, "t").first_error


def test_memory_load_checks_what_it_wrote(agent: Agent) -> None:
    first = agent.start_memory("m", megabytes=1, seed=4)
    wait_for(lambda: agent.query("m", MemoryState).passes > first.passes + 2)
    state = agent.query("m", MemoryState)
    assert state.problems() == []
    assert (state.bytes, state.first_bad) == (1 << 20, None)


def test_memory_load_reports_a_changed_byte(agent: Agent) -> None:
    first = agent.start_memory("m", megabytes=2, seed=4)
    start = _anonymous_mapping(first.pid, 2 << 20)
    offsets = [4096 * 100 + 8, 4096 * 300 + 16, 4096 * 500]
    with stopped(first.pid):  # at most one of the three is in the page that is being rewritten
        for offset in offsets:
            byte = peek(first.pid, start + offset, 1)[0]
            poke(first.pid, start + offset, bytes([byte ^ 1]))
    state = wait_for_error(agent, "m")
    assert isinstance(state, MemoryState)
    assert state.first_bad in offsets
    assert f"offset {state.first_bad} " in state.first_error


def _anonymous_mapping(pid: int, size: int) -> int:
    """Where the private anonymous mapping begins whose end or beginning holds ``size`` bytes."""
    for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
        words = line.split()
        start, end = (int(part, 16) for part in words[0].split("-"))
        if words[1] == "rw-p" and end - start == size and len(words) == 5:
            return start
    raise AssertionError("the workload's memory is not among its mappings")


def test_cpu_load_computes_the_same_again(agent: Agent) -> None:
    cpu = min(os.sched_getaffinity(0))
    first = agent.start_cpu("p", seed=4, cpu=cpu)
    wait_for(lambda: agent.query("p", CpuState).rounds > first.rounds + 3)
    state = agent.query("p", CpuState)
    assert state.problems() == []
    assert state.current_cpu == cpu
    assert agent.start_cpu("q", seed=5).expected != state.expected


def test_cpu_load_reports_another_result(agent: Agent) -> None:
    first = agent.start_cpu("p", seed=4)
    with stopped(first.pid):
        poke_number(first.pid, first.va, first.expected, first.expected ^ 2)
    assert f"in memory 0x{first.expected ^ 2:x}" in wait_for_error(agent, "p").first_error


def test_disk_load_reads_back_what_it_wrote(agent: Agent, tmp_path: Path) -> None:
    disk = _disk(tmp_path)
    agent.start_disk("d", str(disk), seed=4, size=1 << 20)
    wait_for(lambda: agent.query("d", DiskState).writes > 40)
    state = agent.query("d", DiskState)
    assert state.problems() == []
    assert (state.bytes, state.first_bad) == (1 << 20, None)
    assert state.reads >= state.writes - 1
    agent.stop("d")
    content = disk.read_bytes()
    assert content[: 1 << 20] != bytes(1 << 20)
    assert content[1 << 20 :] == bytes(1 << 20)  # what was not handed over is untouched


def test_disk_load_reports_lost_and_misplaced_blocks(agent: Agent, tmp_path: Path) -> None:
    disk = _disk(tmp_path)
    first = agent.start_disk("d", str(disk), seed=4, size=1 << 20)
    wait_for(lambda: agent.query("d", DiskState).writes > 200)
    with stopped(first.pid):
        content = disk.read_bytes()
        with disk.open("r+b") as file:  # every block moves to its neighbour's place
            file.write(content[65536 : 1 << 20] + content[:65536])
            os.fsync(file.fileno())
    state = wait_for_error(agent, "d")
    assert isinstance(state, DiskState)
    assert state.first_bad is not None
    assert "holds block" in state.first_error


def test_disk_load_reports_a_damaged_byte(agent: Agent, tmp_path: Path) -> None:
    disk = _disk(tmp_path)
    first = agent.start_disk("d", str(disk), seed=4, size=1 << 20)
    wait_for(lambda: agent.query("d", DiskState).writes > 200)
    with stopped(first.pid):
        content = bytearray(disk.read_bytes()[: 1 << 20])
        for block in range(16):
            content[block * 65536 + 40_000] ^= 0x80
        with disk.open("r+b") as file:
            file.write(content)
            os.fsync(file.fileno())
    state = wait_for_error(agent, "d")
    assert isinstance(state, DiskState)
    assert state.first_bad is not None
    assert state.first_bad % 65536 == 40_000
    assert "from byte 40000 on" in state.first_error


def test_a_disk_that_is_not_there_is_refused(agent: Agent, tmp_path: Path) -> None:
    with pytest.raises(AgentRefused) as refused:
        agent.start_disk("d", str(tmp_path / "none"), seed=1)
    assert refused.value.code == "ENOENT"
    assert agent.workloads() == []


def test_a_workload_that_cannot_be_set_up_is_an_error(agent: Agent) -> None:
    with pytest.raises(AgentError, match="pinning to CPU 60"):
        agent.start_cpu("p", seed=1, cpu=60)


def test_names_are_unique_and_kinds_are_checked(agent: Agent) -> None:
    agent.start_counter("c", "n")
    with pytest.raises(AgentRefused) as refused:
        agent.start_counter("c", "n")
    assert refused.value.code == "exists"
    with pytest.raises(AgentProtocolError, match="counter workload"):
        agent.query("c", TmpfileState)
    assert agent.workloads() == ["c"]


def test_workloads_end_with_the_agent(tmp_path: Path) -> None:
    with host_agent(tmp_path) as (_, agent):
        pid = agent.start_counter("c", "n").pid
    stat = Path(f"/proc/{pid}/stat")
    end = time.monotonic() + 5
    while stat.exists() and ") Z" not in stat.read_text() and time.monotonic() < end:
        time.sleep(0.02)
    assert not stat.exists() or ") Z" in stat.read_text()


def _disk(folder: Path) -> Path:
    disk = folder / "disk.raw"
    with disk.open("wb") as file:
        file.truncate(2 << 20)
    return disk
