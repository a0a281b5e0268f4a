# SPDX-License-Identifier: GPL-2.0-or-later
"""JUnit XML, read back with the standard library's parser."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given

from harness.results import RunResult
from harness.verdict import Verdict
from reports import junit
from reports.tests import strategies
from reports.tests.sample_run import fail_run, panic_run, pass_run, xfail_run, xpass_run

DOCS = Path(__file__).parents[2] / "docs" / "exit-codes.md"


def suite(result: RunResult) -> ElementTree.Element:
    root = ElementTree.fromstring(junit.render(result))
    assert root.tag == "testsuites"
    (only,) = root
    return only


def test_pass() -> None:
    cases = suite(pass_run()).findall("testcase")
    assert len(cases) == 11  # five checks in each of two cycles, and the run
    assert [child.tag for case in cases for child in case] == ["system-out"]
    assert cases[0].attrib["classname"] == "hibernate-disk.cycle 1"
    assert cases[-1].attrib["name"] == "hibernate-disk"
    assert sum(float(case.attrib["time"]) for case in cases) == pytest.approx(16.8, abs=0.01)


def test_counts_and_properties() -> None:
    root = suite(fail_run())
    assert (root.attrib["tests"], root.attrib["failures"]) == ("11", "3")
    properties = {item.attrib["name"]: item.attrib["value"] for item in root.iter("property")}
    assert properties["kernel_release"] == "6.1.192-jumpback"
    assert properties["kernel_arch"] == "x86_64"
    assert properties["engine"] == "qemu"
    assert properties["accelerator"] == "tcg"
    assert properties["qemu"] == "7.2.22"
    assert properties["git"] == "v0.1.0-14-gccfb888"
    assert properties["reproduce"] == fail_run().command


def test_failure_text_has_findings_and_console() -> None:
    failure = suite(fail_run()).findall("testcase")[-1].find("failure")
    assert failure is not None and failure.text is not None
    assert failure.attrib["type"] == "FAIL"
    assert "pfn 0x4e21" in failure.text and "init_task+0x120" in failure.text
    assert "reproduce: ./jumpback run" in failure.text
    panic = suite(panic_run()).findall("testcase")[-1].find("failure")
    assert panic is not None and panic.text is not None
    assert "Kernel panic - not syncing: Fatal exception" in panic.text


@pytest.mark.parametrize("verdict", Verdict)
def test_the_table_in_the_docs_is_the_code(verdict: Verdict) -> None:
    result = fail_run()
    result.verdict = verdict
    last = suite(result).findall("testcase")[-1]
    tags = [child.tag for child in last if child.tag != "system-out"]
    rows = DOCS.read_text(encoding="utf-8").splitlines()
    (row,) = [row for row in rows if row.startswith(f"| {verdict.value} | `")]
    assert row.endswith(f"| {tags[0] if tags else 'none'} |")


def test_the_rig_s_fault_is_an_error_in_checks_too() -> None:
    result = fail_run()
    result.verdict = Verdict.INFRA
    root = suite(result)
    assert (root.attrib["errors"], root.attrib["failures"]) == ("3", "0")


def test_markup_and_controls_from_the_guest_stay_text(tmp_path: Path) -> None:
    result = panic_run()
    result.console_tail = ["</failure><testcase/>\x00\x1b[31m\ud800]]>"]
    result.options["<a&b>"] = '"quoted"\n'
    junit.write(result, tmp_path / "junit.xml")
    root = ElementTree.parse(tmp_path / "junit.xml").getroot()
    (out,) = root.iter("system-out")
    assert out.text == "</failure><testcase/>␀\N{REPLACEMENT CHARACTER}]]>"
    assert len(root.findall(".//testcase")) == 2


@strategies.relaxed
@given(strategies.runs)
def test_any_run_is_well_formed(result: RunResult) -> None:
    assert len(suite(result).findall("testcase")) == len(result.checks) + 1


def test_a_known_failure_is_skipped_with_its_page_even_beside_a_new_one() -> None:
    fresh = fail_run()
    fresh.checks.append(xfail_run().checks[-1])
    fresh.known_defects = xfail_run().known_defects
    for result, verdict in ((xfail_run(), "skipped"), (fresh, "failure")):
        *_, check, run = suite(result).findall("testcase")
        skipped = check.find("skipped")
        assert skipped is not None and skipped.attrib["type"] == "XFAIL"
        assert "docs/findings/unwinding-label.md" in skipped.attrib["message"]
        end = run.find(verdict)
        assert end is not None and end.text is not None
        assert "known defect devices stay suspended" in end.text


def test_a_known_failure_that_did_not_show_is_a_failure() -> None:
    failure = suite(xpass_run()).findall("testcase")[-1].find("failure")
    assert failure is not None and failure.attrib["type"] == "XPASS"
    assert "did not show" in failure.attrib["message"]
