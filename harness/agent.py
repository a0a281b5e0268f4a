# SPDX-License-Identifier: GPL-2.0-or-later
"""The host's client of the agent in the guest (docs/guest-protocol.md): one method a verb.

One :class:`Agent` stays with the guest through all lives of a cycle: after a resume in a new
machine, :meth:`Agent.rebind` gives it the new socket, and it goes on talking to the same process.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import time
from collections.abc import Callable
from typing import TypeVar, overload

from harness.agent_frames import Fields
from harness.agent_link import (
    ASK_AGAIN,
    DEFAULT_TIMEOUT,
    AgentDisconnected,
    AgentError,
    AgentEvent,
    AgentLink,
    AgentProtocolError,
    AgentRefused,
    AgentReplaced,
    AgentTimeout,
    connect_socket,
)
from harness.agent_state import (
    CommandResult,
    CounterState,
    CpuProof,
    CpuState,
    DiskState,
    Hello,
    AttemptResult,
    MemoryState,
    Nonce,
    TimerState,
    TmpfileState,
    WorkloadState,
    parse_workload,
)

__all__ = [
    "Agent",
    "AgentDisconnected",
    "AgentError",
    "AgentEvent",
    "AgentProtocolError",
    "AgentRefused",
    "AgentReplaced",
    "AgentTimeout",
    "connect_socket",
]

SETUP_TIMEOUT = 30.0  # seconds until a workload has to be set up: all its memory written once

State = TypeVar("State", bound=WorkloadState)
Parsed = TypeVar("Parsed")


class Agent(AgentLink):
    """Thread-safe, as its link is."""

    def wait_ready(self, timeout: float) -> Hello:
        """Waits for the agent of a booting guest."""
        # What is sent before the agent has opened its port is lost; its own first word is not.
        with contextlib.suppress(AgentTimeout):
            self.wait_event("hello", min(0.5, timeout))
        return self.hello(timeout=timeout, ask_again=0.25)

    def hello(self, timeout: float = DEFAULT_TIMEOUT, ask_again: float = ASK_AGAIN) -> Hello:
        return _typed(
            "HELLO", self.request("HELLO", timeout=timeout, ask_again=ask_again), Hello.parse
        )

    def run(self, command: str, timeout: float = DEFAULT_TIMEOUT) -> CommandResult:
        """Runs a shell command in the guest. After ``timeout`` seconds of the guest's clock the
        agent kills it (``timed_out``); AgentTimeout only where the agent itself is silent.
        """
        request, first = self.ask(
            "RUN",
            timeout + DEFAULT_TIMEOUT,
            ASK_AGAIN,
            {"command": command, "timeout_ms": int(timeout * 1000)},
        )

        def parse(fields: Fields) -> CommandResult:
            return CommandResult(
                exit=fields.optional_number("exit"),
                signal=fields.optional_number("signal"),
                timed_out=fields.number("timed_out") != 0,
                output=self._output(request, fields),
                dropped=fields.number("dropped"),
            )

        return _typed("RUN", first, parse)

    def _output(self, request: str, first: Fields) -> bytes:
        output = base64.b64decode(first.text("data"), validate=True)
        size = first.number("size")
        while len(output) < size:
            fields = self.request("OUTPUT", run=request, offset=len(output))
            more = base64.b64decode(fields.text("data"), validate=True)
            if not more or fields.number("offset") != len(output):
                raise AgentProtocolError(f"guest agent, OUTPUT: {size} bytes were promised")
            output += more
        if binascii.crc32(output) != first.number("crc"):
            raise AgentProtocolError(
                "guest agent, RUN: the output does not have the sum it was sent with"
            )
        return output

    def plant(self, name: str, value: str) -> Nonce:
        """Puts a value into the agent's memory; the answer says where it stands."""
        fields = self.request("PLANT", name=name, value=value)
        return _typed(
            "PLANT", fields, lambda f: Nonce(name, value, f.number("va"), f.optional_number("pa"))
        )

    def check(self, name: str) -> Nonce:
        """What stands in the agent's memory now. AgentRefused ("unknown"): nothing was planted."""
        return _typed(
            "CHECK",
            self.request("CHECK", name=name),
            lambda f: Nonce(name, f.text("value"), f.number("va"), f.optional_number("pa")),
        )

    def cpus(self, milliseconds: int = 20) -> list[CpuProof]:
        """Lets a process run on each online CPU for so long, and says how far each came."""
        fields = self.request("CPUS", ms=milliseconds, timeout=60 + milliseconds / 10)
        proofs = []
        for key, value in fields.pairs:
            if not key.startswith("cpu"):
                continue
            count, error = (int(value), "") if value.isdecimal() else (0, value)
            proofs.append(CpuProof(int(key[3:]), count, error))
        return proofs

    def swap_on(self, device: str, *, make: bool = True, timeout: float = DEFAULT_TIMEOUT) -> None:
        """Swaps to a device; ``make`` writes a new swap header first."""
        self.request("SWAPON", device=device, format=int(make), timeout=timeout)

    def swap_off(self, device: str, timeout: float = 60.0) -> None:
        self.request("SWAPOFF", device=device, timeout=timeout)

    def hibernate(
        self,
        mode: str,
        *,
        compressor: str | None = None,
        image_size: int | None = None,
        pm_test: str | None = None,
        timeout: float = DEFAULT_TIMEOUT,
    ) -> str:
        """Has the guest hibernate, and returns as soon as it is about to, with the attempt's id.

        ``mode``: as /sys/power/disk lists them. ``compressor``: since 6.9. ``image_size``: bytes.
        """
        words: dict[str, str | int] = {"mode": mode}
        for key, value in (
            ("compressor", compressor),
            ("image_size", image_size),
            ("pm_test", pm_test),
        ):
            if value is not None:
                words[key] = value
        request, fields = self.ask("HIBERNATE", timeout, ASK_AGAIN, words)
        if fields.get("going") != "1":
            raise AgentProtocolError("guest agent, HIBERNATE: answered ok, but is not going")
        return request

    def wait_resumed(self, request: str, timeout: float) -> AttemptResult:
        """Waits until the write of attempt ``request`` has come back, and says how.

        AgentReplaced: an agent answers that knows nothing of the attempt, so the guest has not been
        resumed but booted afresh.
        """
        return self._wait_attempt("HIBERNATE", "resumed", request, timeout)

    def last_hibernate(self, timeout: float = DEFAULT_TIMEOUT) -> AttemptResult:
        return self._last_attempt("HIBERNATE", timeout)

    def jump(self, timeout: float = DEFAULT_TIMEOUT) -> str:
        """Has the guest jump into its loaded image, and returns as soon as it is about to, with the
        attempt's id. The same object then talks to whichever kernel runs.
        """
        request, fields = self.ask("JUMP", timeout, ASK_AGAIN, {})
        if fields.get("going") != "1":
            raise AgentProtocolError("guest agent, JUMP: answered ok, but is not going")
        return request

    def wait_jumped(self, request: str, timeout: float) -> AttemptResult:
        """Waits until reboot(LINUX_REBOOT_CMD_KEXEC) of attempt ``request`` has come back.

        AgentReplaced: an agent answers that knows nothing of the jump, so another kernel runs.
        """
        return self._wait_attempt("JUMP", "jumped", request, timeout)

    def last_jump(self, timeout: float = DEFAULT_TIMEOUT) -> AttemptResult:
        return self._last_attempt("JUMP", timeout)

    def _last_attempt(self, verb: str, timeout: float) -> AttemptResult:
        asked = f"LAST-{verb}"
        return _typed(asked, self.request(asked, timeout=timeout), AttemptResult.parse)

    def _wait_attempt(self, verb: str, event: str, request: str, timeout: float) -> AttemptResult:
        end = time.monotonic() + timeout
        while True:
            left = max(0.05, end - time.monotonic())
            with contextlib.suppress(AgentTimeout):
                result = self._attempt(verb, request, min(left, ASK_AGAIN))
                if not result.running:
                    return result
            left = end - time.monotonic()
            if left <= 0:
                raise AgentTimeout(f"guest agent: {verb} {request} not back in {timeout:g} s")
            with contextlib.suppress(AgentTimeout):
                self.wait_event(event, min(left, 0.5), match=lambda f: f.get("id") == request)

    def _attempt(self, verb: str, request: str, timeout: float) -> AttemptResult:
        try:
            result = self._last_attempt(verb, timeout)
        except AgentRefused as error:
            raise AgentReplaced(
                f"guest agent: expected the end of {verb} {request}, but {error}: the guest "
                "was booted afresh, or its agent died"
            ) from error
        if result.id != request:
            raise AgentReplaced(f"guest agent: expected {verb} {request}, found {result.id}")
        return result

    # Workloads

    def start_counter(self, name: str, nonce: str, *, interval_us: int = 1000) -> CounterState:
        return self._begin(CounterState, name, kind="counter", nonce=nonce, interval_us=interval_us)

    def start_tmpfile(self, name: str, *, seed: int, size: int = 1000016) -> TmpfileState:
        """An open file in tmpfs of ``size`` bytes, one half of it written."""
        return self._begin(TmpfileState, name, kind="tmpfile", seed=seed, bytes=size)

    def start_timer(self, name: str, *, delay: float, interval: float = 0.1) -> TimerState:
        """One-shot timers that are due after ``delay`` seconds, and a periodic one."""
        words = {"delay_ms": int(delay * 1000), "interval_ms": int(interval * 1000)}
        return self._begin(TimerState, name, kind="timer", **words)

    def start_memory(self, name: str, *, megabytes: int, seed: int) -> MemoryState:
        return self._begin(MemoryState, name, kind="memory", mb=megabytes, seed=seed)

    def start_cpu(self, name: str, *, seed: int, cpu: int | None = None) -> CpuState:
        """Computes and compares, on one CPU or wherever the scheduler puts it."""
        words = {} if cpu is None else {"cpu": cpu}
        return self._begin(CpuState, name, kind="cpu", seed=seed, **words)

    def start_disk(self, name: str, device: str, *, seed: int, size: int = 16 << 20) -> DiskState:
        """Overwrites the first ``size`` bytes of ``device``."""
        return self._begin(DiskState, name, kind="disk", device=device, seed=seed, bytes=size)

    def _begin(self, state: type[State], name: str, **words: str | int) -> State:
        self.ask("START", DEFAULT_TIMEOUT, ASK_AGAIN, {"name": name, **words})
        end = time.monotonic() + SETUP_TIMEOUT
        while True:
            found = self.query(name, state)
            if found.ready:
                return found
            if not found.alive:
                raise AgentError(f"guest agent, START: {'; '.join(found.problems())}")
            if time.monotonic() > end:
                raise AgentTimeout(f"guest agent: {name} was not set up in {SETUP_TIMEOUT:g} s")
            time.sleep(0.01)

    @overload
    def query(self, name: str) -> WorkloadState:
        ...

    @overload
    def query(self, name: str, state: type[State]) -> State:
        ...

    def query(self, name: str, state: type[WorkloadState] = WorkloadState) -> WorkloadState:
        """What the workload tells now; its class follows from its kind and has to be ``state``."""
        return _state("QUERY", name, self.request("QUERY", name=name), state)

    @overload
    def stop(self, name: str) -> WorkloadState:
        ...

    @overload
    def stop(self, name: str, state: type[State]) -> State:
        ...

    def stop(self, name: str, state: type[WorkloadState] = WorkloadState) -> WorkloadState:
        """Ends the workload and returns what it told last."""
        return _state("STOP", name, self.request("STOP", name=name), state)

    def workloads(self) -> list[str]:
        return self.request("LIST").all("name")

    def verify_tmpfile(self, name: str, timeout: float = 30.0) -> TmpfileState:
        """Has what is written so far read back; offsets of bad bytes stand in the state."""
        return self._tell(name, "verify", timeout)

    def finish_tmpfile(self, name: str, timeout: float = 30.0) -> TmpfileState:
        """Has the second half written through the old descriptor, and all of it read back."""
        return self._tell(name, "finish", timeout)

    def _tell(self, name: str, command: str, timeout: float) -> TmpfileState:
        number = self.request("TELL", name=name, command=command).number("commands")
        end = time.monotonic() + timeout
        while True:
            state = self.query(name, TmpfileState)
            if state.commands_done >= number or not state.alive:
                return state
            if time.monotonic() > end:
                raise AgentTimeout(f"guest agent: {name} did not {command} in {timeout:g} s")
            time.sleep(0.01)


def _typed(verb: str, fields: Fields, parse: Callable[[Fields], Parsed]) -> Parsed:
    try:
        return parse(fields)
    except (KeyError, ValueError) as error:
        raise AgentProtocolError(
            f"guest agent, {verb}: the answer is not complete: {error}"
        ) from error


def _state(verb: str, name: str, fields: Fields, wanted: type[WorkloadState]) -> WorkloadState:
    found = _typed(verb, fields, lambda f: parse_workload(name, f))
    if not isinstance(found, wanted):
        raise AgentProtocolError(f"guest agent, {verb} {name}: it is a {found.kind} workload")
    return found
