# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import os
import platform
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.agent import (
    Agent,
    AgentDisconnected,
    AgentError,
    AgentRefused,
    AgentReplaced,
    AgentTimeout,
)
from harness.tests.agent_rig import HostAgent, host_agent, peek, wait_for

pytestmark = pytest.mark.timeout(60)


@pytest.fixture(name="pair")
def _pair(tmp_path: Path) -> Iterator[tuple[HostAgent, Agent]]:
    with host_agent(tmp_path) as pair:
        yield pair


@pytest.fixture(name="agent")
def _agent(pair: tuple[HostAgent, Agent]) -> Agent:
    return pair[1]


@pytest.fixture(name="host")
def _host(pair: tuple[HostAgent, Agent]) -> HostAgent:
    return pair[0]


def test_hello(host: HostAgent, agent: Agent) -> None:
    hello = agent.wait_ready(10)
    assert hello.pid == host.process.pid
    assert hello.life == "life-7"
    assert hello.release == platform.release()
    assert hello.boot_id == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert 0 < hello.monotonic_ns <= time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    assert [event.name for event in agent.events] == ["hello"]


def test_run_gives_output_and_exit_status(agent: Agent) -> None:
    result = agent.run("echo out; echo err >&2; exit 3")
    assert (result.exit, result.signal, result.timed_out) == (3, None, False)
    assert result.output == b"out\nerr\n"
    assert not result.good
    assert agent.run("printf '%s' '~ % \u00e4'").text == "~ % \u00e4"
    assert agent.run("kill -9 $$").signal == 9
    assert agent.run("no-such-command").exit == 127


@pytest.mark.parametrize("size", [0, 1, 3071, 3072, 3073, 1 << 20])
def test_run_output_of_any_size_arrives_whole(agent: Agent, size: int) -> None:
    result = agent.run(f"head -c {size} /dev/zero | tr '\\0' x; true", timeout=20)
    assert result.output == b"x" * size
    assert result.dropped == 0


def test_run_output_beyond_the_limit_is_counted(agent: Agent) -> None:
    result = agent.run("head -c 5000000 /dev/zero", timeout=20)
    assert len(result.output) == 4 << 20
    assert result.dropped == 5000000 - (4 << 20)


def test_run_is_killed_with_all_it_started_when_its_time_is_up(
    agent: Agent, host: HostAgent
) -> None:
    start = time.monotonic()
    result = agent.run(f"sleep 77 & echo $! > {host.folder}/pid; sleep 77", timeout=0.3)
    assert time.monotonic() - start < 5
    assert (result.timed_out, result.signal, result.good) == (True, 9, False)
    sleeper = int((host.folder / "pid").read_text())
    stat = Path(f"/proc/{sleeper}/stat")

    def gone() -> bool:
        try:
            return stat.read_text().rpartition(") ")[2].startswith("Z")
        except (FileNotFoundError, ProcessLookupError):
            return True

    wait_for(gone)


def test_run_does_not_wait_for_what_was_left_in_the_background(agent: Agent) -> None:
    start = time.monotonic()
    assert agent.run("sleep 5 & echo done").output == b"done\n"
    assert time.monotonic() - start < 3


def test_other_requests_are_answered_while_a_command_runs(agent: Agent) -> None:
    results = []
    thread = threading.Thread(target=lambda: results.append(agent.run("sleep 1.5; echo x")))
    thread.start()
    time.sleep(0.2)
    assert agent.hello(timeout=1.2).life == "life-7"
    with pytest.raises(AgentRefused) as refused:
        agent.run("echo y")
    assert refused.value.code == "busy"
    thread.join()
    assert results[0].output == b"x\n"


def test_a_planted_nonce_stands_where_the_agent_says(host: HostAgent, agent: Agent) -> None:
    planted = agent.plant("ram", "a nonce ~%")
    assert agent.check("ram") == planted
    assert peek(host.process.pid, planted.va, 10) == b"a nonce ~%"
    assert agent.plant("ram", "other").va == planted.va
    assert agent.check("ram").value == "other"
    with pytest.raises(AgentRefused) as refused:
        agent.check("never")
    assert refused.value.code == "unknown"


def test_a_nonce_keeps_its_frame_when_the_agent_forks(agent: Agent) -> None:
    planted = agent.plant("ram", "x")
    if planted.pa is None:
        pytest.skip("this host does not tell physical addresses")
    agent.run("true")
    assert agent.plant("ram", "y").pa == planted.pa


def test_every_online_cpu_is_shown_to_count(agent: Agent) -> None:
    proofs = agent.cpus(10)
    allowed = os.sched_getaffinity(0)
    assert allowed <= {proof.cpu for proof in proofs}
    assert all(proof.alive for proof in proofs if proof.cpu in allowed)


def test_swap_errors_are_passed_on(agent: Agent, tmp_path: Path) -> None:
    with pytest.raises(AgentRefused) as refused:
        agent.swap_on(str(tmp_path / "missing"))
    assert refused.value.code == "ENOENT"
    small = tmp_path / "small"
    small.write_bytes(b"x" * 4096)
    with pytest.raises(AgentRefused) as refused:
        agent.swap_on(str(small))
    assert refused.value.code == "EINVAL"
    assert small.read_bytes() == b"x" * 4096
    with pytest.raises(AgentRefused):
        agent.swap_off(str(small))


def test_swap_header(agent: Agent, tmp_path: Path) -> None:
    sparse = tmp_path / "sparse"
    with sparse.open("wb") as file:
        file.truncate(100 * 4096)
    with pytest.raises(AgentRefused):  # no kernel swaps to a file with holes
        agent.swap_on(str(sparse))
    page = sparse.read_bytes()[:4096]
    assert page[4086:] == b"SWAPSPACE2"
    assert int.from_bytes(page[1024:1028], "little") == 1  # version
    assert int.from_bytes(page[1028:1032], "little") == 99  # last page


def test_hibernate_answers_first_and_remembers_how_it_ended(host: HostAgent, agent: Agent) -> None:
    state = host.power / "state"
    state.unlink()
    os.mkfifo(state)  # the write does not come back before somebody reads
    attempt = agent.hibernate("platform", compressor="lz4", image_size=12345)
    assert (host.power / "disk").read_text() == "platform"
    assert (host.power / "compressor").read_text() == "lz4"
    assert (host.power / "image_size").read_text() == "12345"
    assert agent.last_hibernate().running
    with pytest.raises(AgentRefused) as refused:
        agent.hibernate("platform")
    assert refused.value.code == "busy"
    with pytest.raises(AgentTimeout):
        agent.wait_resumed(attempt, 0.3)
    assert state.read_text() == "disk"
    result = agent.wait_resumed(attempt, 10)
    assert (result.good, result.id, result.errno) == (True, attempt, 0)
    assert result.monotonic_after_ns > result.monotonic_before_ns
    event = agent.wait_event("resumed", 5)
    assert event.fields.get("id") == attempt


def test_a_failed_hibernation_is_told_with_its_error(host: HostAgent, agent: Agent) -> None:
    (host.power / "state").unlink()
    (host.power / "state").symlink_to("/dev/full")
    result = agent.wait_resumed(agent.hibernate("shutdown"), 10)
    assert (result.good, result.returned, result.error) == (False, True, "ENOSPC")


def test_a_mode_that_the_kernel_refuses_stops_before_going(host: HostAgent, agent: Agent) -> None:
    (host.power / "disk").unlink()
    (host.power / "disk").symlink_to("/dev/full")
    with pytest.raises(AgentRefused, match="power/disk") as refused:
        agent.hibernate("nonsense")
    assert refused.value.code == "ENOSPC"
    assert (host.power / "state").read_text() == ""
    with pytest.raises(AgentRefused):
        agent.last_hibernate()


def test_jump_answers_first_and_remembers_how_it_ended(host: HostAgent, agent: Agent) -> None:
    with pytest.raises(AgentRefused, match="not jumped"):
        agent.last_jump()
    jumps = host.folder / "jumps"
    os.mkfifo(jumps)  # the call does not come back before somebody reads
    attempt = agent.jump()
    assert agent.last_jump().running
    with pytest.raises(AgentRefused) as refused:
        agent.jump()
    assert refused.value.code == "busy"
    assert agent.hello().version == "1"  # another kernel's agent would be asked meanwhile
    assert jumps.read_text() == "jump\n"
    result = agent.wait_jumped(attempt, 10)
    assert (result.good, result.id, result.errno) == (True, attempt, 0)
    assert agent.wait_event("jumped", 5).fields.get("id") == attempt


def test_a_refused_jump_is_told_with_its_error(host: HostAgent, agent: Agent) -> None:
    result = agent.wait_jumped(agent.jump(), 10)  # there is no file to play it
    assert (result.good, result.returned, result.error) == (False, True, "ENOENT")


def test_a_fresh_agent_is_not_taken_for_a_resumed_one(host: HostAgent, agent: Agent) -> None:
    attempt = agent.hibernate("platform")
    agent.wait_resumed(attempt, 10)
    (host.folder / "again").mkdir()
    with host_agent(host.folder / "again") as (fresh, _):
        agent.rebind(fresh.sock.dup(), timeout=5)
        start = time.monotonic()
        with pytest.raises(AgentReplaced, match="booted afresh"):
            agent.wait_resumed(attempt, 10)
        assert time.monotonic() - start < 3


def test_a_dead_agent_is_told_at_once(host: HostAgent, agent: Agent) -> None:
    agent.wait_ready(5)
    host.process.kill()
    start = time.monotonic()
    with pytest.raises(AgentDisconnected):
        agent.wait_event("resumed", 10)
    with pytest.raises(AgentDisconnected):
        agent.hello()
    assert time.monotonic() - start < 3


def test_malformed_requests_are_refused(agent: Agent) -> None:
    for verb, words, code in (
        ("NO-SUCH-VERB", {}, "unknown-verb"),
        ("RUN", {}, "bad-request"),
        ("RUN", {"command": "true", "timeout_ms": "soon"}, "bad-request"),
        ("OUTPUT", {"run": "a-1", "offset": 0}, "unknown"),
        ("PLANT", {"name": "x" * 48, "value": ""}, "bad-request"),
        ("PLANT", {"name": "x", "value": "y" * 192}, "bad-request"),
        ("START", {"kind": "nonsense", "name": "x"}, "bad-request"),
        ("START", {"kind": "counter", "name": "x"}, "bad-request"),
        ("START", {"kind": "memory", "name": "x", "mb": 0}, "bad-request"),
        ("QUERY", {"name": "never"}, "unknown"),
        ("CPUS", {"ms": 100000}, "bad-request"),
    ):
        with pytest.raises(AgentRefused) as refused:
            agent.request(verb, **words)  # type: ignore[arg-type]
        assert refused.value.code == code, verb
    assert agent.workloads() == []


def test_a_request_that_would_overrun_the_tty_is_not_sent(agent: Agent) -> None:
    with pytest.raises(AgentError, match="at most"):
        agent.run("x" * 4000)
