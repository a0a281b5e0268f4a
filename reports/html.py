# SPDX-License-Identifier: GPL-2.0-or-later
"""report.html: the whole run in one file that needs no network and runs no script but its own.

The page's policy (Content-Security-Policy) allows the one script and the one style sheet that are
in it, by hash. jinja2 escapes everything else, and the embedded data cannot end its element.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import shlex
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from harness.results import Finding, FrameMap, FrameState, RunResult
from harness.verdict import Verdict
from reports import console_log, frame_data, timeline, wording
from reports.summary import check_groups, cycles_begun, last_stage, lost_lives, rule_totals

FILE_NAME = "report.html"
TEMPLATES = Path(__file__).parent / "templates"
STYLES = ("page.css", "map.css")
SCRIPTS = ("map_data.js", "map_view.js", "page.js")
FINDINGS_SHOWN = 1000

# Good, neither, bad: the banner's colour and the tab's icon.
MOODS = {
    Verdict.PASS: "good",
    Verdict.XFAIL: "good",
    Verdict.SKIP: "neutral",
    Verdict.INFRA: "rig",
    Verdict.BUILD: "rig",
}
ICONS = {"good": "1a7f4b", "neutral": "6b7280", "rig": "b45309", "bad": "c0142b"}


def render(result: RunResult) -> str:
    """The page. Console logs are read from ``result.folder``; a missing one is said in the page."""
    cap = console_log.cap_for(len(result.lives))
    style = _source(STYLES)
    script = _source(SCRIPTS)
    mood = MOODS.get(result.verdict, "bad")
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            result=result,
            mood=mood,
            icon=ICONS[mood],
            policy=_policy(style, script),
            style=Markup(style),  # our own files, the only ones that are not escaped
            script=Markup(script),
            data=embed(frame_data.encode(result.frame_maps)),
            groups=check_groups(result),
            rules=rule_totals(result),
            last=last_stage(result),
            begun=max(cycles_begun(result), result.cycles_proved),
            findings=[_finding(result, finding) for finding in result.findings[:FINDINGS_SHOWN]],
            findings_left=max(len(result.findings) - FINDINGS_SHOWN, 0),
            maps=[_map(frame_map) for frame_map in result.frame_maps],
            timeline=timeline.build(result),
            lost=lost_lives(result),
            lives=[(life, console_log.load(result.folder, life, cap)) for life in result.lives],
        )
    )


def write(result: RunResult, path: Path) -> None:
    """Writes the page, atomically; the folder of ``path`` must be there."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(render(result), encoding="utf-8")
    partial.replace(path)


def embed(value: Any) -> Markup:
    """JSON that is safe inside a script element: no way to write ``</script>`` or ``<!--``."""
    text = json.dumps(value, separators=(",", ":"))  # ASCII only
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        line=wording.clean_line,
        clean=wording.clean,
        seconds=wording.seconds,
        size=wording.size,
        address=wording.address,
        number=lambda value: f"{value:,}",
        count=wording.count,
        shell=shlex.join,
        state=lambda state: wording.STATE_NAMES[state],
        meaning=lambda state: wording.STATE_MEANINGS[state],
    )
    environment.globals.update(
        page_size=wording.PAGE_SIZE,
        all_states=list(FrameState),
        bad_states=wording.BAD_STATES,
        known=wording.known,
        known_defect=wording.known_defect,
    )
    return environment


def _source(names: tuple[str, ...]) -> str:
    return "\n" + "".join((TEMPLATES / name).read_text(encoding="utf-8") for name in names)


def _policy(style: str, script: str) -> str:
    sources = {"style-src": style, "script-src": script}
    hashed = [f"{name} '{_hash(text)}'" for name, text in sources.items()]
    return "; ".join(
        ["default-src 'none'", *hashed, "img-src data:", "base-uri 'none'", "form-action 'none'"]
    )


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return "sha256-" + base64.b64encode(digest).decode()


def _finding(result: RunResult, finding: Finding) -> dict[str, Any]:
    expected, found = finding.expected, finding.found
    maps = (frame_map for frame_map in result.frame_maps if frame_map.cycle == finding.cycle)
    frames = max((frame_map.frames for frame_map in maps), default=0)
    return {
        "finding": finding,
        "place": wording.place(finding),
        "differing": wording.differing_count(finding),
        "in_map": finding.pfn is not None and 0 <= finding.pfn < frames,
        "expected": None if expected is None else _cells(expected, found),
        "found": None if found is None else _cells(found, expected),
    }


def _cells(data: bytes, other: bytes | None) -> list[tuple[str, bool]]:
    """Two hex digits and whether the other side has another byte there."""
    marks = [False] * len(data) if other is None else wording.differing(data, other)
    return [(f"{byte:02x}", mark) for byte, mark in zip(data, marks)]


def _map(frame_map: FrameMap) -> dict[str, Any]:
    notable = frame_data.notable_runs(frame_map)
    return {
        "cycle": frame_map.cycle,
        "frames": frame_map.frames,
        "counts": frame_data.state_counts(frame_map),
        "regions": frame_data.regions(frame_map),
        "notable": notable[: frame_data.NOTABLE_SHOWN],
        "notable_left": max(len(notable) - frame_data.NOTABLE_SHOWN, 0),
    }
