# SPDX-License-Identifier: GPL-2.0-or-later
"""Any RunResult at all, for hypothesis: field by field from the types in harness.results."""

from __future__ import annotations

from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from harness.results import (
    Check,
    EventRecord,
    Finding,
    FrameMap,
    FrameRun,
    KernelInfo,
    KnownDefect,
    LifeRecord,
    RuleUse,
    RunResult,
    StageRecord,
)

# A decorator. No deadline and no complaint about slowness: the machine may be building a kernel.
relaxed = settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])

texts = st.text(max_size=20)
numbers = st.integers(min_value=0, max_value=2**53)
times = st.floats(allow_nan=False, allow_infinity=False, width=32)
# pathlib drops a '.' part and joins slashes, so that only plain names come back as they were.
paths = st.from_regex(r"[a-z0-9]{1,8}(/[a-z0-9]{1,8}){0,2}", fullmatch=True).map(Path)

findings = st.builds(
    Finding,
    oracle=texts,
    stage=texts,
    message=texts,
    cycle=numbers,
    life=numbers,
    gpa=st.none() | numbers,
    pfn=st.none() | numbers,
    owner=st.none() | texts,
    expected=st.none() | st.binary(max_size=16),
    found=st.none() | st.binary(max_size=16),
    differing_bytes=st.none() | numbers,
)
checks = st.builds(
    Check,
    name=texts,
    oracle=texts,
    cycle=numbers,
    compared=numbers,
    seconds=times,
    detail=texts,
    rules=st.lists(st.builds(RuleUse, texts, texts, numbers), max_size=2),
    findings=st.lists(findings, max_size=2),
    known=st.lists(texts, max_size=2),
)
lives = st.builds(
    LifeRecord,
    index=numbers,
    cycle=numbers,
    role=texts,
    nonce=texts,
    start=times,
    end=st.none() | times,
    detail=texts,
    command_line=texts,
    machine_command=st.lists(texts, max_size=2),
    console_log=st.none() | paths,
    stages=st.lists(st.builds(StageRecord, texts, times, st.none() | times, texts), max_size=2),
    events=st.lists(st.builds(EventRecord, times, texts, texts), max_size=2),
)
frame_maps = st.builds(
    FrameMap,
    cycle=numbers,
    frames=st.integers(0, 5000),
    runs=st.lists(
        st.builds(FrameRun, st.integers(0, 5000), st.integers(0, 3000), owner=texts), max_size=6
    ),
)
runs = st.builds(
    RunResult,
    scenario=texts,
    reason=texts,
    command=texts,
    folder=paths,
    kernel=st.none() | st.builds(KernelInfo, texts, texts, texts, texts),
    engine=texts,
    accelerator=texts,
    accelerator_reason=texts,
    options=st.dictionaries(texts, texts, max_size=2),
    seed=st.integers(0, 2**64 - 1),
    started_at=texts,
    seconds=times,
    failed_stage=texts,
    cycles_proved=numbers,
    lives=st.lists(lives, max_size=2),
    checks=st.lists(checks, max_size=2),
    frame_maps=st.lists(frame_maps, max_size=2),
    console_tail=st.lists(texts, max_size=2),
    properties=st.dictionaries(texts, texts, max_size=2),
    known_defects=st.lists(
        st.builds(KnownDefect, texts, texts, texts, explains=st.lists(texts, max_size=2)),
        max_size=2,
    ),
)
