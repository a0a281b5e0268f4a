# SPDX-License-Identifier: GPL-2.0-or-later
"""The JSON document: no loss, its schema holds, damaged files are named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import UsageError
from harness.results import SCHEMA, FrameState, LifeOutcome, RunResult
from harness.verdict import Verdict
from reports import json_report
from reports.tests import strategies
from reports.tests.sample_run import fail_run, panic_run, pass_run, xfail_run, xpass_run

SCHEMA_DOCUMENT = json.loads(json_report.SCHEMA_FILE.read_text(encoding="utf-8"))
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA_DOCUMENT)
FIELDS = Path(__file__).parents[2] / "docs" / "json-schema.md"


@strategies.relaxed
@given(strategies.runs)
def test_round_trip_without_loss_and_by_the_schema(result: RunResult) -> None:
    text = json_report.dumps(result)
    assert json_report.loads(text) == result
    VALIDATOR.validate(json.loads(text))


# Added after the first release of this version of the document: older ones lack it.
LATER = {"known_defects"}


@pytest.mark.parametrize("result", [pass_run(), fail_run(), panic_run(), xfail_run(), xpass_run()])
def test_realistic_runs_fit_the_schema(result: RunResult) -> None:
    VALIDATOR.validate(json_report.to_document(result))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("schema", "jumpback.run/0"),
        ("verdict", "FINE"),
        ("seconds", "12"),
        ("lives", {}),
        ("kernel", {"name": "6.1"}),
        ("frame_maps", [{"cycle": 1, "frames": 2, "owners": [""], "runs": [[0, 2, "lost", 0]]}]),
    ],
)
def test_schema_and_reader_refuse_the_same(key: str, value: Any) -> None:
    document = json_report.to_document(fail_run())
    document[key] = value
    with pytest.raises(jsonschema.ValidationError):
        VALIDATOR.validate(document)
    with pytest.raises(UsageError, match=key):
        json_report.from_document(document)


@pytest.mark.parametrize("key", sorted(json_report.to_document(pass_run()).keys() - LATER))
def test_no_key_may_be_missing(key: str) -> None:
    document = json_report.to_document(pass_run())
    del document[key]
    with pytest.raises(jsonschema.ValidationError, match=key):
        VALIDATOR.validate(document)
    with pytest.raises(UsageError, match=key):
        json_report.from_document(document)


def test_a_document_from_before_there_were_known_defects_is_read() -> None:
    document = json_report.to_document(xfail_run())
    del document["known_defects"]
    for check in document["checks"]:
        del check["known"]
    VALIDATOR.validate(document)
    read = json_report.from_document(document)
    assert read.known_defects == [] and read.checks[-1].known == []


def test_a_key_of_a_later_version_is_passed_over() -> None:
    document = json_report.to_document(pass_run())
    document["colour"] = "green"
    VALIDATOR.validate(document)
    assert json_report.from_document(document) == pass_run()


def test_the_schema_lists_the_enums_as_they_are_in_the_code() -> None:
    definitions = SCHEMA_DOCUMENT["$defs"]
    assert definitions["verdict"]["enum"] == [verdict.value for verdict in Verdict]
    assert definitions["outcome"]["enum"] == [outcome.value for outcome in LifeOutcome]
    assert definitions["state"]["enum"] == [state.name for state in FrameState]
    assert SCHEMA_DOCUMENT["properties"]["schema"]["const"] == SCHEMA


def test_each_property_in_the_schema_is_described_in_the_docs() -> None:
    described = FIELDS.read_text(encoding="utf-8")
    objects = [SCHEMA_DOCUMENT, *SCHEMA_DOCUMENT["$defs"].values()]
    names = {name for one in objects for name in one.get("properties", {})}
    assert len(names) > 50
    assert [name for name in sorted(names) if f"| `{name}` |" not in described] == []


def test_every_cut_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    text = json_report.dumps(panic_run())
    file = tmp_path / "result.json"
    for length in range(0, len(text) - 2, 97):
        file.write_text(text[:length], encoding="utf-8")
        for read in (json_report.read, json_report.read_file_summary):
            with pytest.raises(UsageError, match="result.json"):
                read(file)


def test_a_cut_inside_the_frame_maps_is_seen_by_the_summary_too(tmp_path: Path) -> None:
    text = json_report.dumps(pass_run())
    at = text.index('"frame_maps"') + 1000
    with pytest.raises(UsageError, match="cut short"):
        json_report.read_summary(text[:at])


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
DOCUMENT = json_report.to_document(panic_run())


@strategies.relaxed
@given(st.sampled_from(sorted(DOCUMENT)), anything)
def test_any_value_at_any_key_is_refused_or_read(key: str, value: Any) -> None:
    try:
        json_report.from_document({**DOCUMENT, key: value})
    except UsageError as error:
        assert key in str(error)


@pytest.mark.parametrize("text", ["[" * 100_000, "[]", "null", '{"schema": 1}', "1" * 5000, "\x00"])
def test_other_json_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        json_report.loads(text)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "result.json"
    file.write_bytes(b'{"schema": "\xff\xfe"}')
    with pytest.raises(UsageError, match="not UTF-8"):
        json_report.read(file)
    with pytest.raises(UsageError, match="No such file"):
        json_report.read(tmp_path / "none.json")


def test_a_file_that_was_moved_knows_its_folder(tmp_path: Path) -> None:
    json_report.write(fail_run(), tmp_path / "result.json")
    assert json_report.read(tmp_path / "result.json").folder == tmp_path
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]


def test_the_summary_is_all_but_the_frame_maps(tmp_path: Path) -> None:
    json_report.write(fail_run(), tmp_path / "result.json")
    summary = json_report.read_file_summary(tmp_path / "result.json")
    whole = json_report.read(tmp_path / "result.json")
    assert whole.frame_maps and not summary.frame_maps
    whole.frame_maps = []
    assert summary == whole


def test_the_summary_of_a_file_that_another_tool_wrote_again() -> None:
    text = json.dumps(json_report.to_document(fail_run()), indent=4)
    assert json_report.read_summary(text).verdict is Verdict.FAIL
