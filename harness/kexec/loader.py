# SPDX-License-Identifier: GPL-2.0-or-later
"""The guest's program that makes kexec_load calls (fixtures/kexec/loader): built, put into the
guest, and asked.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

# The agent's compiler flags and its way to a cached program are those of every guest program.
from harness.guest_image import GuestFile
from harness.guest_program import build_program
from harness.agent import Agent
from harness.errors import GuestBroken
from harness.kexec.calls import Call
from harness.paths import TREE
from kernel.cache import Cache
from kernel.progress import Progress

SOURCES = TREE / "fixtures" / "kexec" / "loader"
GUEST_PATH = "/bin/jb-kexec"

# Bytes of one command: a request has 3500 at most, its own words and escapes included.
_COMMAND = 3200


def build_loader(
    arch: str, *, progress: Progress | None = None, cache: Cache | None = None
) -> Path:
    """The static program for ``arch``, from the cache if it is there. Raises GuestImageError."""
    return build_program(
        "jb-kexec", SOURCES, arch, title="guest's kexec loader", progress=progress, cache=cache
    )


def guest_files(
    arch: str, *, progress: Progress | None = None, cache: Cache | None = None
) -> dict[str, GuestFile]:
    """For ``build_guest(files=…)``."""
    return {GUEST_PATH: GuestFile(build_loader(arch, progress=progress, cache=cache), 0o755)}


def batches(calls: Sequence[Call]) -> list[list[Call]]:
    """``calls`` in order, in as few commands as the agent's line takes."""
    result: list[list[Call]] = [[]]
    used = 0
    for call in calls:
        need = len(call.text) + 3  # a blank, escaped
        if used + need > _COMMAND and result[-1]:
            result.append([])
            used = 0
        result[-1].append(call)
        used += need
    return [batch for batch in result if batch]


def make_calls(agent: Agent, calls: Sequence[Call], timeout: float = 60.0) -> list[str]:
    """Makes the calls in the guest, in order; returns each one's error name, "0" for success.

    ``timeout``: guest seconds for each command. Raises GuestBroken if the loader fails.
    """
    answers: list[str] = []
    for batch in batches(calls):
        command = " ".join(["exec", GUEST_PATH, *(shlex.quote(call.text) for call in batch)])
        done = agent.run(command, timeout)
        answers += parse_answers(done.text, len(batch)) if done.good else []
        if not done.good:
            how = f"exit status {done.exit}" if done.signal is None else f"signal {done.signal}"
            when = f"{', timed out' if done.timed_out else ''} in the batch of {batch[0].name!r}"
            said = done.text[-400:].strip()
            raise GuestBroken(f"jb-kexec: {how}{when}{f': {said}' if said else ''}")
    return answers


def parse_answers(text: str, count: int) -> list[str]:
    """The loader's lines "INDEX RETURN ERROR" and its last one, "done COUNT"."""
    lines = text.split("\n")
    answers = []
    for index in range(count):
        words = lines[index].split() if index < len(lines) else []
        wrong = len(words) != 3 or words[0] != str(index) or words[1] not in ("0", "-1")
        if wrong or (words[1] == "0") != (words[2] == "0"):
            found = lines[index] if index < len(lines) else "nothing"
            raise GuestBroken(f"jb-kexec: an answer to call {index} was expected, found {found!r}")
        answers.append(words[2])
    if lines[count : count + 1] != [f"done {count}"]:
        raise GuestBroken(f"jb-kexec: 'done {count}' was expected, found {lines[count:][:1]}")
    return answers
