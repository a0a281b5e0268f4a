# SPDX-License-Identifier: GPL-2.0-or-later
"""Where lives, stages and events stand in the timeline of report.html, in percent of its width.

All cycles share one scale, and each starts at its own left edge: twenty cycles one below the other
show at a glance which one was slow, which a common time axis would not.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from harness.results import EventRecord, LifeRecord, RunResult

TONES = 10  # colours of stages in page.css
TICKS = 8  # at most so many steps on the axis
LABEL_MIN = 4.0  # percent; a narrower bar has no room for its name


@dataclass(frozen=True)
class Bar:
    left: float  # percent
    width: float  # percent
    name: str
    seconds: float
    note: str
    tone: int  # colour index; the same for stages of the same name
    finished: bool

    @property
    def labelled(self) -> bool:
        return self.width >= LABEL_MIN


@dataclass(frozen=True)
class Mark:
    left: float
    event: EventRecord


@dataclass
class Lane:
    """One life."""

    life: LifeRecord
    left: float
    width: float
    seconds: float | None
    bars: list[Bar] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)


@dataclass
class CycleLanes:
    cycle: int
    start: float  # seconds since the start of the run
    lanes: list[Lane]


@dataclass
class Timeline:
    span: float  # seconds that the whole width stands for
    ticks: list[tuple[float, str]]  # percent, label
    cycles: list[CycleLanes]
    stage_names: list[str]  # index is the tone


def build(result: RunResult) -> Timeline:
    """Lays out all lives of ``result``."""
    by_cycle: dict[int, list[LifeRecord]] = {}
    for life in result.lives:
        by_cycle.setdefault(life.cycle, []).append(life)
    names = list(dict.fromkeys(stage.name for life in result.lives for stage in life.stages))
    starts = {cycle: min(life.start for life in lives) for cycle, lives in by_cycle.items()}
    ends = {cycle: max(map(_last_moment, lives)) for cycle, lives in by_cycle.items()}
    span = max((ends[cycle] - starts[cycle] for cycle in by_cycle), default=0.0) or 1.0
    cycles = [
        CycleLanes(
            cycle, starts[cycle], [_lane(life, starts[cycle], span, names) for life in lives]
        )
        for cycle, lives in sorted(by_cycle.items())
    ]
    return Timeline(span, _ticks(span), cycles, names)


def _last_moment(life: LifeRecord) -> float:
    """When a life ended, or the last that is known of it if it never did."""
    moments = [life.start, *(event.time for event in life.events)]
    for stage in life.stages:
        moments += [stage.start, stage.end or stage.start]
    return life.end if life.end is not None else max(moments)


def _lane(life: LifeRecord, origin: float, span: float, names: list[str]) -> Lane:
    def percent(value: float) -> float:
        return round(min(max(100 * value / span, 0.0), 100.0), 3)

    end = _last_moment(life)
    seconds = None if life.end is None else life.end - life.start
    lane = Lane(life, percent(life.start - origin), percent(end - life.start), seconds)
    for stage in life.stages:
        stop = end if stage.end is None else stage.end
        lane.bars.append(
            Bar(
                left=percent(stage.start - origin),
                width=percent(stop - stage.start),
                name=stage.name,
                seconds=stop - stage.start,
                note=stage.note,
                tone=names.index(stage.name) % TONES,
                finished=stage.end is not None,
            )
        )
    lane.marks = [Mark(percent(event.time - origin), event) for event in life.events]
    return lane


def _ticks(span: float) -> list[tuple[float, str]]:
    """Round steps of 1, 2 or 5 times a power of ten."""
    step = 0.001
    factors = [2.0, 2.5, 2.0]
    turn = 0
    while span / step > TICKS:
        step *= factors[turn % 3]
        turn += 1
    ticks = []
    number = 0
    while number * step <= span:
        ticks.append((round(100 * number * step / span, 3), f"{number * step:.4g} s"))
        number += 1
    return ticks
