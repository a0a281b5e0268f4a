# SPDX-License-Identifier: GPL-2.0-or-later
"""What becomes of a jump whose image cannot be read or whose guest's program says something odd: a
failed check that names it, no bug of the rig. No guest runs.
"""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from harness.agent import Agent
from harness.errors import GuestBroken
from harness.jump import setup
from harness.jump.loader import Window, load_kernel, load_way_back, read_core
from harness.jump.plain_proof import add_uses
from harness.jump.proof import NotReached
from harness.jump.snapshot_save import ControlWords, Saved, save
from harness.kexec.kimage_struct import BadKimage
from harness.results import Check, RuleUse

OPEN = SimpleNamespace(name="departure A to B", end=None)


class FakeMachine:
    """With one life, whose last stage was left by an exception."""

    def __init__(self, *_: object) -> None:
        life = SimpleNamespace(index=1, stages=[OPEN], console_log=None)
        self.records = [life]

    def __enter__(self) -> FakeMachine:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to close."""

    def new_life(self, _: str) -> SimpleNamespace:
        return SimpleNamespace(start=lambda: None)


def _told(monkeypatch: pytest.MonkeyPatch, folder: Path, error: Exception) -> list[Check]:
    monkeypatch.setattr(setup, "Machine", FakeMachine)
    made: list[Check] = []
    context = SimpleNamespace(
        folder=folder,
        started=0.0,
        symbols=SimpleNamespace(text=None),
        random=SimpleNamespace(getrandbits=lambda bits: 0),
        result=SimpleNamespace(lives=[], properties={}, folder=folder, failed_stage=""),
        record=made.append,
    )

    def tell(_: object) -> None:
        raise error

    setup.run_story(cast(Any, context), cast(Any, None), tell, [])
    assert context.result.failed_stage == OPEN.name
    return made


def test_an_image_that_cannot_be_read_is_a_failed_check(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (check,) = _told(monkeypatch, tmp_path, BadKimage("struct kimage at 0x10 leads out of memory"))
    assert not check.passed and "leads out of memory" in check.detail
    (finding,) = check.findings
    assert (finding.oracle, finding.stage, finding.life) == ("jump-cpu", "departure", 1)


def test_a_stop_that_was_not_reached_has_its_check(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert not _told(monkeypatch, tmp_path, NotReached("no image is loaded"))


def _agent(output: bytes) -> Agent:
    done = SimpleNamespace(good=True, text=output.decode(errors="replace"), output=output)
    return cast(Agent, SimpleNamespace(run=lambda *_, **__: done))


LOADED = b"entry 0x1000\nkernel 0x2000\ninitrd 0x3000\nword 0x4000\n"
SAVED = b"pages 5\nmoved 1\nleft_out 0\nstretches 2\nbase 8192\nwritten 4096\n"


def test_what_the_guests_program_says_is_taken_as_it_is() -> None:
    loaded = load_kernel(_agent(LOADED), Window(), "")
    assert (loaded.entry, loaded.kernel, loaded.word) == (0x1000, 0x2000, 0x4000)
    assert load_way_back(_agent(b"entry 0x1000\npage 0x2000\n")) == 0x1000
    said = save(_agent(SAVED), "/dev/vda", ControlWords(0, 0), 1, ignore_map=False)
    assert said == Saved(pages=5, moved=1, left_out=0, stretches=2, written=4096)


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (LOADED.replace(b"word", b"wort"), "'word'"),
        (LOADED.replace(b"0x1000", b"0xno"), "'entry 0xno'"),
        (b"", "'entry'"),
    ],
)
def test_odd_answers_of_the_loader_are_the_guests_fault(output: bytes, expected: str) -> None:
    with pytest.raises(GuestBroken, match=f"jb-jump load: .*{re.escape(expected)}"):
        load_kernel(_agent(output), Window(), "")


def test_odd_answers_of_the_others_are_so_too() -> None:
    with pytest.raises(GuestBroken, match="jb-jump back: a line of 'entry' and a number"):
        load_way_back(_agent(b"entry\n"))
    with pytest.raises(GuestBroken, match="jb-jump save: a line of 'moved' and a number"):
        odd = SAVED.replace(b"moved 1", b"moved 1.5")
        save(_agent(odd), "/dev/vda", ControlWords(0, 0), 1, ignore_map=False)
    with pytest.raises(GuestBroken, match="2 pages were expected, found 4096 bytes"):
        read_core(_agent(bytes(4096)), [1, 2])


def test_the_uses_of_rules_in_two_comparisons_are_added_up() -> None:
    first = [RuleUse("control-stack", "", 1), RuleUse("swap-page", "", 2)]
    second = [RuleUse("swap-page", "", 3), RuleUse("table-bits", "", 0)]
    found = {rule.name: rule.uses for rule in add_uses(first, second)}
    assert found == {"control-stack": 1, "swap-page": 5, "table-bits": 0}
