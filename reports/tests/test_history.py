# SPDX-License-Identifier: GPL-2.0-or-later
"""Past runs: listed newest first, found by name, damaged ones said and never fatal."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.results import RunResult
from harness.verdict import Verdict
from reports import history, json_report
from reports.tests.sample_run import fail_run, panic_run, pass_run


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    results: dict[str, RunResult] = {
        "disk-0001": pass_run(), "disk-0002": fail_run(), "disk-0010": panic_run()
    }  # fmt: skip
    for age, (name, result) in enumerate(results.items()):
        folder = tmp_path / name
        folder.mkdir()
        json_report.write(result, folder / "result.json")
        os.utime(folder / "result.json", (1_000_000 + age, 1_000_000 + age))
    return tmp_path


def damage(runs: Path, name: str, text: str) -> None:
    (runs / name).mkdir(exist_ok=True)
    (runs / name / "result.json").write_text(text, encoding="utf-8")


def test_newest_first(runs: Path) -> None:
    past = history.list_runs(runs)
    assert [run.name for run in past] == ["disk-0010", "disk-0002", "disk-0001"]
    assert [run.verdict for run in past] == [Verdict.PANIC, Verdict.FAIL, Verdict.PASS]
    assert past[0].kernel == "6.1.192-jumpback" and past[2].seconds == pytest.approx(16.8)


def test_no_folder_and_an_empty_one_hold_no_runs(tmp_path: Path) -> None:
    assert history.list_runs(tmp_path / "none") == []
    assert history.list_runs(tmp_path) == []
    with pytest.raises(UsageError, match="no finished runs"):
        history.find_run(tmp_path, "latest")


@pytest.mark.parametrize(
    ("what", "name"),
    [
        ("latest", "disk-0010"), ("disk-0002", "disk-0002"), ("disk-001", "disk-0010"),
        ("{runs}/disk-0001", "disk-0001"), ("{runs}/disk-0001/result.json", "disk-0001"),
    ],
)  # fmt: skip
def test_find(what: str, name: str, runs: Path) -> None:
    path = history.find_run(runs, what.format(runs=runs))
    assert path == runs / name / "result.json"
    assert history.load_run(runs, what.format(runs=runs)).folder == runs / name


@pytest.mark.parametrize(
    ("what", "message"), [("disk-00", "fits several"), ("nothing", "disk-0010"), ("", "no run ''")]
)
def test_find_says_what_there_is(what: str, message: str, runs: Path) -> None:
    with pytest.raises(UsageError, match=message):
        history.find_run(runs, what)


@pytest.mark.parametrize("text", ["", "{", "null", "\x00", '{"schema": "jumpback.run/9"}'])
def test_a_damaged_result_is_listed_as_such_and_hides_no_other(text: str, runs: Path) -> None:
    damage(runs, "disk-0011", text)
    past = history.list_runs(runs)
    assert len(past) == 4
    assert past[0].verdict is None and "disk-0011" in past[0].problem
    assert "?" in history.render_list(past).splitlines()[1]
    with pytest.raises(UsageError, match="disk-0011"):
        history.load_run(runs, "latest")


def test_an_interrupted_run_is_listed_but_is_not_the_latest(runs: Path) -> None:
    (runs / "disk-0012").mkdir()
    assert "interrupted" in history.list_runs(runs)[0].problem
    assert history.load_run(runs, "latest").verdict is Verdict.PANIC
    with pytest.raises(UsageError, match="No such file"):
        history.load_run(runs, "disk-0012")


def test_list_for_people(runs: Path) -> None:
    lines = history.render_list(history.list_runs(runs)).splitlines()
    assert lines[0].split() == ["verdict", "scenario", "kernel", "time", "started", "name"]
    assert lines[1].split()[:3] == ["PANIC", "hibernate-disk", "6.1.192-jumpback"]
    assert lines[1].endswith("disk-0010")


def test_every_format_renders_a_loaded_run(runs: Path) -> None:
    result = history.load_run(runs, "disk-0002")
    starts = {form: history.render(result, form).lstrip()[:14] for form in history.Format}
    assert starts[history.Format.TEXT].startswith("FAIL")
    assert starts[history.Format.KTAP] == "KTAP version 1"
    assert starts[history.Format.JUNIT].startswith("<?xml")
    assert starts[history.Format.HTML].startswith("<!DOCTYPE html")
    document = json.loads(history.render(result, history.Format.JSON))
    assert document["verdict"] == "FAIL"
