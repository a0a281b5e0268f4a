# SPDX-License-Identifier: GPL-2.0-or-later
"""report.html without a browser: its parts, and that nothing a guest writes becomes markup."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from harness.results import EventRecord, FrameRun, FrameState, KnownDefect, RuleUse, RunResult
from harness.verdict import Verdict
from reports import html
from reports.tests import strategies
from reports.tests.sample_run import BAD_PFN, fail_run, panic_run, pass_run, xfail_run, xpass_run

ATTACKS = (
    "</script><script>globalThis.owned = 1</script>",
    '"><img src="http://127.0.0.1:9/x" onerror="globalThis.owned = 1">',
    "' autofocus onfocus='globalThis.owned = 1",
    "<!--<script>",
    "]]></pre></details><svg onload=globalThis.owned=1>",
    "{{ 7 * 191 }}{% raw %}",
)


class Page(HTMLParser):
    """Collects elements, attributes and the text of each kind of element."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text: dict[str, list[str]] = {}
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        while self.open and self.open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if self.open:
            self.text.setdefault(self.open[-1], []).append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def attacked(folder: Path | None, attack: str) -> RunResult:
    """A failing run in which every text that a guest or a user can set is the attack."""
    result = fail_run(folder, cycles=1)
    result.scenario = result.reason = result.command = attack
    result.accelerator_reason = result.failed_stage = result.started_at = attack
    result.options = {attack: attack}
    result.properties = {attack: attack}
    result.known_defects = [KnownDefect(attack, attack, attack, True, [attack])]
    result.console_tail = [attack]
    assert result.kernel is not None
    result.kernel.release = attack
    for life in result.lives:
        life.role = life.nonce = life.detail = life.command_line = attack
        life.machine_command = [attack]
        life.events.append(EventRecord(1.0, attack, attack))
        for stage in life.stages:
            stage.name = stage.note = attack
        if folder is not None and life.console_log is not None:
            (folder / life.console_log).write_text(attack, encoding="utf-8")
    for check in result.checks:
        check.name = check.oracle = check.detail = attack
        check.rules.append(RuleUse(attack, attack, 1))
        check.known = [attack]
        for finding in check.findings:
            for name in ("message", "owner", "stage", "oracle"):
                object.__setattr__(finding, name, attack)
    result.frame_maps[0].runs = [
        FrameRun(run.start, run.count, run.state, attack) for run in result.frame_maps[0].runs
    ]
    return result


@pytest.mark.parametrize("attack", ATTACKS)
def test_nothing_a_guest_writes_becomes_markup(attack: str, tmp_path: Path) -> None:
    harmless = Page(html.render(attacked(tmp_path, "harmless")))
    text = html.render(attacked(tmp_path, attack))
    page = Page(text)
    assert [tag for tag, _ in page.tags] == [tag for tag, _ in harmless.tags]
    assert [sorted(attrs) for _, attrs in page.tags] == [sorted(a) for _, a in harmless.tags]
    assert attack in "".join(page.text["pre"])
    assert attack in "".join(page.text["code"])
    data = json.loads("".join(page.text["script"]).partition("\n")[0])
    assert attack in data["owners"]
    assert text.count("<script") == 2
    assert "1337" not in text  # 7 * 191: no text is a template


def test_an_ampersand_is_escaped_once() -> None:
    result = fail_run()
    result.checks[0].name = "a & b < c"
    assert "a &amp; b &lt; c" in html.render(result)
    assert "&amp;amp;" not in html.render(result)


def test_the_policy_allows_its_own_script_and_style_by_hash_and_nothing_else() -> None:
    text = html.render(fail_run())
    page = Page(text)
    (policy,) = [a["content"] for a in page.all("meta") if "http-equiv" in a]
    assert policy is not None and policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    for tag, name in (("style", "style-src"), ("script", "script-src")):
        source = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)[0]
        digest = base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()
        assert f"{name} 'sha256-{digest}'" in policy


def test_nothing_is_fetched() -> None:
    page = Page(html.render(fail_run()))
    urls = [
        value
        for _, attributes in page.tags
        for name, value in attributes.items()
        if name in ("src", "href", "action", "data", "srcset")
    ]
    assert urls
    assert [url for url in urls if url and not url.startswith(("#", "data:"))] == []
    assert not re.search(r"url\(|@import|fetch\(|XMLHttp", html.render(fail_run()))


@pytest.mark.parametrize("verdict", Verdict)
def test_every_verdict_can_be_shown(verdict: Verdict) -> None:
    result = panic_run()
    result.verdict = verdict
    page = Page(html.render(result))
    assert page.text["title"][0] == f"{verdict.value}: hibernate-disk"
    assert verdict.value in page.text["span"]


def test_findings_table() -> None:
    text = html.render(fail_run())
    page = Page(text)
    buttons = [a for a in page.all("button") if a.get("class") == "link goto"]
    assert [button["data-pfn"] for button in buttons] == [str(BAD_PFN), str(BAD_PFN + 0x900)]
    assert page.text["mark"] == ["57", "47"]
    assert "0x004e21124" in page.text["code"] and "init_task+0x120" in page.text["code"]
    assert "1 byte of 4,096 differs" in page.text["span"]


def test_a_finding_outside_every_map_has_no_button() -> None:
    result = fail_run()
    result.frame_maps = result.frame_maps[:1]
    page = Page(html.render(result))
    assert [a for a in page.all("button") if a.get("class") == "link goto"] == []


def test_console_logs_are_embedded(tmp_path: Path) -> None:
    page = Page(html.render(panic_run(tmp_path)))
    assert "PM: hibernation: Creating image:" in "".join(page.text["pre"])
    assert "Kernel panic - not syncing" in "".join(page.text["pre"])
    (opened,) = [a for a in page.all("details") if "open" in a]
    assert opened["id"] == "life-2"


def test_every_id_is_used_once_and_labels_point_to_something() -> None:
    page = Page(html.render(fail_run()))
    ids = [a["id"] for _, a in page.tags if "id" in a]
    assert len(ids) == len(set(ids))
    for _, attributes in page.tags:
        for name in ("aria-labelledby", "aria-describedby", "for"):
            assert set((attributes.get(name) or "").split()) <= set(ids)
    for tag in ("select", "input", "canvas"):
        for attributes in page.all(tag):
            labelled = [label["for"] for label in page.all("label")]
            assert "aria-label" in attributes or attributes["id"] in labelled


def contrast(one: str, other: str) -> float:
    """WCAG 2.1 contrast ratio of two #rrggbb colours."""

    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        total: float = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
        return total

    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def themes() -> list[dict[str, str]]:
    """The colour variables of the light theme and of the dark one."""
    css = "".join((html.TEMPLATES / name).read_text(encoding="utf-8") for name in html.STYLES)
    blocks = re.findall(r"^( *):root \{(.*?)\}", css, re.DOTALL | re.MULTILINE)
    themes: list[dict[str, str]] = [{}, {}]
    for indent, block in blocks:
        themes[bool(indent)] |= dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block))
    return themes


@pytest.mark.parametrize("theme", themes(), ids=["light", "dark"])
def test_contrast(theme: dict[str, str]) -> None:
    for text, ground in [
        ("text", "ground"), ("text", "raised"), ("quiet", "ground"), ("quiet", "raised"),
        ("link", "ground"), ("mark-text", "mark"), ("log-text", "log"),
    ]:  # fmt: skip
        assert contrast(theme[text], theme[ground]) >= 4.5, (text, ground)
    for mood in ("good", "bad", "rig", "neutral"):
        assert contrast("#ffffff", theme[mood]) >= 4.5, mood
    colours = [theme[f"s{state.value}"] for state in FrameState]
    assert len(set(colours)) == len(FrameState)
    for state in (FrameState.DIFFERENT, FrameState.MISSING):
        assert contrast(theme[f"s{state.value}"], theme["ground"]) >= 3


@strategies.relaxed
@given(strategies.runs)
def test_any_run_can_be_shown(result: RunResult) -> None:
    page = Page(html.render(result))
    assert result.verdict.value in page.text["span"]
    data: Any = json.loads("".join(page.text["script"]).partition("\n")[0])
    assert [one["frames"] for one in data["maps"]] == [one.frames for one in result.frame_maps]


def test_size_of_a_report_of_twenty_cycles() -> None:
    assert len(html.render(pass_run(cycles=20))) < 3 << 20


def test_known_defects_are_in_the_page() -> None:
    page = Page(html.render(xfail_run()))
    assert {"class": "mood-good"} in page.all("body")
    assert "as known" in page.text["span"]
    assert any("docs/findings/unwinding-label.md): explains" in text for text in page.text["dd"])
    page = Page(html.render(xpass_run()))
    assert {"class": "mood-bad"} in page.all("body")
    assert "as known" not in page.text["span"]
    assert any("did not show" in text for text in page.text["dd"])
