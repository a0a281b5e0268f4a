# SPDX-License-Identifier: GPL-2.0-or-later
"""The text for people: what must be in it, and what a guest cannot do to the terminal."""

from __future__ import annotations

import io

import pytest
from hypothesis import given

from harness.results import Check, Finding, RunResult
from harness.verdict import Verdict
from reports import text
from reports.tests import strategies
from reports.tests.sample_run import BAD_PFN, fail_run, panic_run, pass_run, xfail_run, xpass_run


def test_a_good_run_says_so_first_and_how_to_repeat_it_last() -> None:
    lines = text.render(pass_run()).strip().splitlines()
    assert lines[0].split() == ["PASS", "hibernate-disk"]
    assert "2 of 2 cycles proved" in lines[1]
    assert lines[-1].split()[0] == "reproduce"
    assert pass_run().command in lines[-1]


def test_facts() -> None:
    shown = text.render(pass_run())
    assert "6.1.192-jumpback, x86_64" in shown
    assert "qemu, tcg: no /dev/kvm on this host" in shown
    assert "22,807" in shown  # pages compared, both cycles together
    assert "nmi-watchdog, never used" in shown
    assert "per-cpu-clock, 4 pages" in shown
    assert "finding" not in shown
    assert "console" not in shown


def test_a_finding_is_shown_byte_by_byte() -> None:
    lines = text.render(fail_run()).splitlines()
    at = next(i for i, line in enumerate(lines) if line.lstrip().startswith("1. "))
    assert "page differs from its page in the image" in lines[at]
    assert "restored-memory, blames restore, cycle 2, life 4" in lines[at]
    assert f"pfn 0x{BAD_PFN:x} ({BAD_PFN})" in lines[at + 1]
    assert "GPA 0x004e21124" in lines[at + 1]
    assert "init_task+0x120" in lines[at + 1]
    expected, found, marks = lines[at + 2 : at + 5]
    column = marks.index("^^")
    assert expected[column : column + 2] == "57"
    assert found[column : column + 2] == "47"
    assert marks.strip() == "^^"
    assert lines[at + 5].strip() == "1 byte of 4,096 differs"


def test_checks_that_fail_name_their_cycles() -> None:
    shown = text.render(fail_run(cycles=20))
    assert "19 of 20" in shown
    assert "not in cycle 20; 1 of 11,404 pages differs" in shown
    assert "3 of 5 hold" in shown


def test_a_panic_shows_stage_and_console() -> None:
    shown = text.render(panic_run())
    assert "failed in read-image" in shown
    assert "life 2 (role C, cycle 1) did not get out of read-image" in shown
    assert "Kernel panic - not syncing: Fatal exception" in shown


def test_dead_before_the_target_is_said() -> None:
    result = panic_run()
    result.target_reached = False
    assert "the stage under test was never reached" in text.render(result, width=300)


def test_many_findings_are_cut_and_counted() -> None:
    finding = Finding("coverage", "save", "left out")
    check = Check("no page is missing", "coverage", False, findings=[finding] * 1234)
    result = pass_run()
    result.checks.append(check)
    shown = text.render(result)
    assert "1,234 findings" in shown
    assert "and 1,224 more" in shown
    assert shown.count("left out") == text.FINDINGS_SHOWN


def test_the_guest_cannot_write_to_the_terminal() -> None:
    result = panic_run()
    result.reason = "\x1b]0;owned\x07[bold]reason[/bold]"
    result.console_tail = ["\x1b[2Jfoo [red]bar[/red] \r\nbaz", "[/]"]
    for color in (False, True):
        shown = text.render(result, color=color)
        assert "\x1b[2J" not in shown and "\x1b]" not in shown and "\r" not in shown
        assert "[bold]reason[/bold]" in shown
        assert "foo [red]bar[/red]" in shown


def test_no_colour_and_no_trailing_blanks_unless_asked() -> None:
    plain = text.render(fail_run())
    assert "\x1b" not in plain
    assert [line for line in plain.splitlines() if line != line.rstrip()] == []
    assert "\x1b[" in text.render(fail_run(), color=True)


class Terminal(io.TextIOWrapper):
    """A stream that is a terminal or not; os.get_terminal_size is patched away."""

    def __init__(self, tty: bool, encoding: str) -> None:
        super().__init__(io.BytesIO(), encoding=encoding)
        self.tty = tty

    def isatty(self) -> bool:
        return self.tty

    def fileno(self) -> int:
        return 1

    def shown(self) -> bytes:
        self.flush()
        raw = self.buffer
        assert isinstance(raw, io.BytesIO)
        return raw.getvalue()


@pytest.mark.parametrize(
    ("tty", "no_color", "colours"), [(True, "", True), (True, "1", False), (False, "", False)]
)
def test_colours_only_on_a_terminal_without_no_color(
    tty: bool, no_color: str, colours: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", no_color)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setattr("os.get_terminal_size", lambda _: __import__("os").terminal_size((90, 25)))
    stream = Terminal(tty, "utf-8")
    text.print_result(fail_run(), stream)
    assert (b"\x1b[" in stream.shown()) is colours


def test_a_terminal_without_unicode_gets_ascii() -> None:
    stream = Terminal(False, "ascii")
    result = fail_run()
    result.reason = "größer"
    text.print_result(result, stream)
    shown = stream.shown().decode("ascii")
    assert "BAD" in shown and r"gr\xf6\xdfer" in shown


@strategies.relaxed
@given(strategies.runs)
def test_any_run_can_be_shown(result: RunResult) -> None:
    shown = text.render(result)
    assert result.verdict.value in shown
    assert "\x1b" not in shown


@pytest.mark.parametrize("verdict", Verdict)
def test_every_verdict_has_a_style(verdict: Verdict) -> None:
    result = pass_run()
    result.verdict = verdict
    assert f" {verdict.value} " in text.render(result, color=True)


def test_a_known_failure_is_told_with_its_page() -> None:
    shown = " ".join(text.render(xfail_run(), width=300).split())
    assert shown.startswith("XFAIL jump-fail-step as known, unwinding-label")
    assert "(docs/findings/unwinding-label.md): explains: no device is left suspended" in shown
    assert "as known, docs/findings/unwinding-label.md; 87 devices stay suspended" in shown


def test_a_known_failure_that_did_not_show_is_loud() -> None:
    shown = " ".join(text.render(xpass_run(), width=300).split())
    assert shown.startswith("XPASS jump-fail-step unwinding-label")
    assert "did not show: fixed upstream, or the rig went blind" in shown
    assert "End of the guest's console" in shown  # as of any run that has to be looked at
