# SPDX-License-Identifier: GPL-2.0-or-later
"""What report.html is made of: frame maps, console logs, timeline."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given

from harness.results import FrameMap, FrameRun, FrameState, LifeRecord, RunResult, StageRecord
from reports import console_log, frame_data, timeline
from reports.tests import strategies
from reports.tests.sample_run import BAD_PFN, fail_run, panic_run, pass_run

S = FrameState


def states(frame_map: FrameMap) -> list[tuple[FrameState, str]]:
    """Frame by frame, the slow and obvious way; the first run that claims a frame has it."""
    frames = [(S.HOLE, "")] * frame_map.frames
    taken = [False] * frame_map.frames
    for run in sorted(frame_map.runs, key=lambda run: run.start):
        for pfn in range(run.start, min(run.start + run.count, frame_map.frames)):
            if not taken[pfn]:
                frames[pfn], taken[pfn] = (run.state, run.owner), True
    return frames


@strategies.relaxed
@given(strategies.frame_maps)
def test_full_runs_say_the_same_as_the_map_frame_by_frame(frame_map: FrameMap) -> None:
    runs = frame_data.full_runs(frame_map)
    assert [r for run in runs for r in [(run.state, run.owner)] * run.count] == states(frame_map)
    assert all(run.start + run.count == after.start for run, after in zip(runs, runs[1:]))
    counts = frame_data.state_counts(frame_map)
    assert sum(counts.values()) == frame_map.frames


@strategies.relaxed
@given(strategies.frame_maps)
def test_regions_cover_the_map_and_count_right(frame_map: FrameMap) -> None:
    regions = frame_data.regions(frame_map)
    at = 0
    truth = [state for state, _ in states(frame_map)]
    for region in regions:
        assert region.start == at
        at += region.count
        for state, number in region.states.items():
            assert truth[region.start : at].count(state) == number
    assert at == frame_map.frames
    assert len(regions) <= frame_data.REGIONS


def test_encode_is_compact_and_shares_owners() -> None:
    maps = [
        FrameMap(1, 10, [FrameRun(2, 3, S.EQUAL, "slab"), FrameRun(5, 5, S.FREE)]),
        FrameMap(2, 4, [FrameRun(0, 4, S.DIFFERENT, "slab")]),
    ]
    data = frame_data.encode(maps)
    assert data["owners"] == ["", "slab"]
    assert data["maps"][0]["runs"] == [2, 0, 0, 3, 5, 1, 5, 1, 0]
    assert data["maps"][1]["runs"] == [4, 7, 1]


def test_findings_stand_first_among_the_frames_worth_a_look() -> None:
    notable = frame_data.notable_runs(fail_run().frame_maps[-1])
    assert [run.start for run in notable[:2]] == [BAD_PFN, BAD_PFN + 0x900]
    assert notable[-1].state is S.NOSAVE


def life_with(path: str | None) -> LifeRecord:
    return LifeRecord(1, 1, "A", "", 0.0, console_log=None if path is None else Path(path))


def test_a_long_log_keeps_head_and_tail_and_counts_the_cut(tmp_path: Path) -> None:
    lines = [f"line {number}\n" for number in range(10_000)]
    (tmp_path / "log").write_text("".join(lines), encoding="ascii")
    log = console_log.load(tmp_path, life_with("log"), cap=4000)
    assert log.head.startswith("line 0\n") and log.head.endswith("\n")
    assert log.tail.endswith("line 9999\n") and log.tail.startswith("line ")
    assert log.cut + len(log.head) + len(log.tail) == log.total == sum(map(len, lines))
    assert 3900 < len(log.head) + len(log.tail) <= 4000
    assert len(log.tail) > 2 * len(log.head)


def test_a_short_log_is_whole_and_clean(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"\x1b[31mred\x1b[0m\r\n\xff\x00")
    log = console_log.load(tmp_path, life_with("log"), cap=4000)
    assert (log.head, log.tail, log.cut) == ("red\n\N{REPLACEMENT CHARACTER}␀", "", 0)


@pytest.mark.parametrize("path", ["../secret", "/etc/hostname", "link", "none", ".", None])
def test_only_files_of_the_run_s_folder_are_read(path: str | None, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (tmp_path / "secret").write_text("secret", encoding="ascii")
    (folder / "link").symlink_to(tmp_path / "secret")
    log = console_log.load(folder, life_with(path), cap=4000)
    assert log.problem and log.head == ""


def test_all_logs_together_stay_small() -> None:
    for lives in (0, 1, 40, 1000):
        assert console_log.cap_for(lives) * lives <= console_log.REPORT_CAP


def test_cycles_share_a_scale_and_start_at_the_left() -> None:
    lanes = timeline.build(pass_run(cycles=3))
    assert [cycle.cycle for cycle in lanes.cycles] == [1, 2, 3]
    assert [cycle.lanes[0].left for cycle in lanes.cycles] == [0.0, 0.0, 0.0]
    assert lanes.span == pytest.approx(7.7)
    bars = lanes.cycles[0].lanes[0].bars
    assert [bar.name for bar in bars][:2] == ["boot", "plant"]
    assert bars[0].width == pytest.approx(100 * 2.0 / 7.7, abs=0.01)
    assert bars[1].left == pytest.approx(bars[0].left + bars[0].width, abs=0.01)
    assert 3 <= len(lanes.ticks) <= timeline.TICKS + 1 and lanes.ticks[0] == (0.0, "0 s")


def test_the_stage_that_never_finished_reaches_to_the_end() -> None:
    lane = timeline.build(panic_run()).cycles[0].lanes[1]
    assert [bar.finished for bar in lane.bars] == [True, False]
    assert lane.bars[1].seconds == pytest.approx(0.4)
    assert lane.bars[1].left + lane.bars[1].width == pytest.approx(lane.left + lane.width, abs=0.01)


@strategies.relaxed
@given(strategies.runs)
def test_nothing_leaves_the_picture(result: RunResult) -> None:
    for cycle in timeline.build(result).cycles:
        for lane in cycle.lanes:
            for value in [lane.left, lane.width, *(bar.left for bar in lane.bars)]:
                assert 0 <= value <= 100


def test_a_life_of_no_length_is_no_division_by_zero() -> None:
    result = pass_run()
    result.lives = [LifeRecord(1, 1, "A", "", 5.0, 5.0, stages=[StageRecord("boot", 5.0)])]
    assert timeline.build(result).span > 0
