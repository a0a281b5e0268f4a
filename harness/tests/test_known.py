# SPDX-License-Identifier: GPL-2.0-or-later
"""The table of known defects: its facts, and what of a run it explains."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from types import SimpleNamespace
from typing import cast

import jumpback_jump as jj
import jumpback_relocate as jr
import pytest
from click.testing import CliRunner

import kernel
from harness import known
from harness.agent import Agent
from harness.cli.listing import list_command
from harness.errors import GuestHang, GuestPanic, InfraError
from harness.jump.travel import Travel
from harness.known import Applied, Defect, Sign, Stand
from harness.machine import Life
from harness.oracles.liveness import LivenessChecks
from harness.paths import TREE
from harness.results import Check, Finding
from harness.scenario import all_scenarios

pytestmark = pytest.mark.timeout(60)

RELEASES = ("2.6.27", "5.10.262", "6.1.192-jumpback", "6.12.117", "6.16.3", "6.17", "7.2.13")


def _defect(name: str, *signs: Sign, fatal: bool = False) -> Defect:
    return Defect(name, f"{name} is wrong", {}, signs, {}, fatal)


def _check(*messages: str, name: str = "pages", oracle: str = "memory", stage: str = "P3") -> Check:
    findings = [Finding(oracle, stage, message) for message in messages]
    return Check(name, oracle, False, findings=findings)


GDT = _defect("gdt", Sign("^registers$", "^P3$", r"gdtr\."), fatal=True)
SLOT = _defect("slot", Sign("^memory$", "", "behind the swap page"))


# The facts


def test_the_scenarios_are_there() -> None:
    names = {scenario.name for scenario in all_scenarios()}
    assert {name for defect in known.KNOWN for name in defect.scenarios} <= names


def test_each_has_a_page_and_is_named_once() -> None:
    names = [defect.id for defect in known.KNOWN]
    assert len(set(names)) == len(names) > 0
    for defect in known.KNOWN:
        assert (TREE / defect.page).is_file()
        assert defect.signs and defect.scenarios and defect.stands
        assert any(not sign.follows for sign in defect.signs)


@pytest.mark.parametrize(
    ("release", "version"),
    [("6.1.192-jumpback", (6, 1)), ("7.2", (7, 2)), ("6.12-rc3+", (6, 12)), ("next", None)],
)
def test_releases_are_read(release: str, version: tuple[int, int] | None) -> None:
    assert known.parse_release(release) == version


def _faults_with_pages() -> Iterator[tuple[str, jj.KnownFault]]:
    (fault,) = (fault for fault in jj.known_faults() if fault.code == "B4")
    yield "unwinding-label", fault


@pytest.mark.parametrize("release", RELEASES)
def test_versions_are_those_of_the_jump_model(release: str) -> None:
    for name, fault in _faults_with_pages():
        (defect,) = (defect for defect in known.KNOWN if defect.id == name)
        for arch in ("x86_64", "i386"):
            assert defect.stands_in(release, arch) == fault.known_in(release)


@pytest.mark.kernels
def test_versions_are_those_of_the_relocation_model() -> None:
    looked_at = set()
    for listed in kernel.list_kernels():
        if listed.state is not kernel.State.BUILT or listed.folder is None:
            continue
        if "+" in listed.version:  # has a defect back that its series is said to mend
            continue
        target = jr.Target.open(listed.folder / "vmlinux")
        pages = {defect["page"] for defect in target.defects}
        fixed = kernel.resolve(listed.version, listed.arch).fixed
        for defect in known.KNOWN:
            if defect.id in ("gdt-not-reloaded", "no-reentry-slot"):
                there = defect.stands_in(target.release, target.arch) and defect.id not in fixed
                assert there == (defect.page in pages), listed.version
                looked_at.add(defect.id)
    assert len(looked_at) == 2


def test_a_defect_stands_from_its_first_version_to_its_fix() -> None:
    defect = Defect("d", "", {"x86_64": Stand((5, 4), (6, 12)), "i386": Stand((6, 1))}, (), {})
    for release, there in (("5.3.1", 0), ("5.4.0", 1), ("6.11.9", 1), ("6.12.1", 0), ("?", 0)):
        assert defect.stands_in(release, "x86_64") == bool(there)
    assert not defect.stands_in("5.10", "i386") and defect.stands_in("7.3", "i386")
    assert not defect.stands_in("6.1", "riscv")
    assert str(defect.stands["x86_64"]) == "from 5.4 on, before 6.12"


def test_list_shows_each_with_its_page_and_the_scenarios_that_run_into_it() -> None:
    text = CliRunner().invoke(list_command).output
    for defect in known.KNOWN:
        assert f"{defect.id}: {defect.summary}" in text and defect.page in text
        for name in defect.scenarios:
            part = text[text.index(f"{name}: ") :].split("\n\n")[0]
            assert defect.id in part.splitlines()[-1]


def test_what_the_kernels_own_patches_mend_does_not_apply() -> None:
    def apply(
        fixed: frozenset[str],
        release: str = "6.1.192",
        tamper: str = "",
        step: str = "suspend-devices",
    ) -> Applied:
        return known.applied(
            release=release,
            arch="x86_64",
            fixed=fixed,
            scenario="jump-fail-step",
            chosen={"step": step, "tamper": tamper},
        )

    stock = apply(frozenset())
    assert "unwinding-label" in stock.must
    assert "unwinding-label" not in apply(frozenset({"unwinding-label"})).must
    assert "unwinding-label" not in [d.id for d in apply(frozenset({"unwinding-label"})).defects]
    assert "unwinding-label" not in [d.id for d in apply(frozenset(), "7.2.13").defects]
    # A tampered run may show it, and need not.
    tampered = apply(frozenset(), tamper="any")
    assert "unwinding-label" in [d.id for d in tampered.defects]
    assert "unwinding-label" not in tampered.must
    # Another step's failure has nothing to do with it.
    elsewhere = apply(frozenset(), step="freeze-processes")
    assert "unwinding-label" not in [d.id for d in elsewhere.defects]
    other = known.applied(
        release="6.1", arch="x86_64", fixed=frozenset(), scenario="hibernate-disk", chosen={}
    )
    assert other == Applied([], frozenset())


# What it explains


def test_a_check_is_explained_if_all_of_its_findings_are() -> None:
    applied = Applied((GDT, SLOT))
    known_one = _check("8 bytes behind the swap page", "more behind the swap page")
    half = _check("behind the swap page", "a page of A", name="half")
    new = _check("a page of A", name="new")
    passed = Check("fine", "memory", True, detail="behind the swap page")
    applied.explain([known_one, half, new, passed], None)
    assert [c.known for c in (known_one, half, new, passed)] == [["slot"], [], [], []]
    assert known_one.as_known and not half.as_known and not passed.as_known
    assert applied.seen == {"slot": ["pages", "half"]}


def test_a_check_with_several_causes_names_them() -> None:
    applied = Applied((GDT, SLOT))
    check = _check("behind the swap page")
    check.findings.append(Finding("registers", "P3", "gdtr.base: expected 1, found 0"))
    applied.explain([check], None)
    assert check.known == ["gdt", "slot"]


@pytest.mark.parametrize(
    ("oracle", "stage", "message"),
    [("memory", "P3", "gdtr.base"), ("registers", "P1", "gdtr.base"), ("registers", "P3", "idtr")],
)
def test_oracle_stage_and_words_must_all_fit(oracle: str, stage: str, message: str) -> None:
    check = _check(message, oracle=oracle, stage=stage)
    applied = Applied((GDT,))
    applied.explain([check], None)
    assert check.known == [] and applied.seen == {}


def test_a_check_without_findings_is_held_by_its_detail() -> None:
    check = Check("stack", "memory", False, detail="a word behind the swap page")
    Applied((SLOT,)).explain([check], None)
    assert check.known == ["slot"]


FAULT = Sign("^life$", "^return$", "triple fault")


def test_a_death_is_a_symptom_of_the_stage_that_its_text_names() -> None:
    for text, left in (
        ("life 1 (A), stage return: triple fault\nconsole", False),
        ("life 1 (A), stage boot: triple fault", True),
        ("life 1 (A), stage return: reset", True),
    ):
        applied = Applied((_defect("gdt", FAULT),))
        death = GuestPanic(text)
        assert applied.explain([], death) is (death if left else None)
        assert applied.seen == ({} if left else {"gdt": ["life 1 (A), stage return: triple fault"]})


def test_a_death_that_a_story_told_as_a_check_is_the_same_symptom() -> None:
    message = "life 2 (A), stage return: triple fault"
    check = _check(message, oracle="life", stage="")
    Applied((_defect("gdt", FAULT),)).explain([check], None)
    assert check.known == ["gdt"]


def test_the_rigs_own_failure_is_never_explained() -> None:
    applied = Applied((_defect("gdt", Sign("", "", "")),))
    death = InfraError("life 1 (A), stage return: triple fault")
    assert applied.explain([], death) is death
    assert applied.seen == {}


def test_a_sign_that_follows_needs_another() -> None:
    silent = Sign("^life$", "", "agent is silent", follows=True)
    defect = _defect("label", Sign("^devices$", "", "stay suspended"), silent)
    alone = GuestPanic("the agent is silent")
    assert Applied((defect,)).explain([], alone) is alone
    check = _check("87 stay suspended", oracle="devices")
    assert Applied((defect,)).explain([check], alone) is None


def test_what_had_to_show_and_did_not_is_missing() -> None:
    applied = Applied((GDT, SLOT), frozenset({"gdt", "slot"}))
    assert [d.id for d in applied.missing()] == ["gdt", "slot"]
    applied.seen["slot"] = ["x"]
    assert [d.id for d in applied.missing()] == ["gdt"]
    applied.seen = {"gdt": ["x"]}  # fatal: nothing behind it can show
    assert applied.missing() == []
    assert [(r.id, r.shown) for r in applied.results()] == [("gdt", True), ("slot", False)]


def test_what_may_show_and_did_not_is_no_ones_business() -> None:
    applied = Applied((GDT, SLOT), frozenset())
    assert applied.missing() == [] and applied.results() == []


# The table's signs: what they take, and what they leave


def _left(name: str, *symptoms: tuple[str, str, str]) -> list[tuple[str, str, str]]:
    """What the defect of that name does not explain of a run."""
    (defect,) = (defect for defect in known.KNOWN if defect.id == name)
    checks = [_check(words, oracle=oracle, stage=stage) for oracle, stage, words in symptoms]
    Applied((defect,)).explain(checks, None)
    return [symptom for check, symptom in zip(checks, symptoms) if not check.known]


LOST = "virtual_mapped (0xffffffff81033134) was not reached: life 1 (A), stage return: died"
DIFFERS = ("jump-memory", "return", "page differs at 0x3ec008")


def test_a_direction_flag_does_harm_on_the_way_back_only() -> None:
    come_of_it = [
        ("jump-cpu", "return", LOST),
        ("jump-cpu", "return", "machine_kexec (0xffffffff8123c786) was not reached: died"),
        ("jump-memory", "return", "page differs at 0x8000008"),
        ("life", "return", "life 1 (A), stage return direction-flag 1: guest triple-faulted"),
        ("life", "resume", "life 1 (A), stage resume direction-flag 1: guest triple-faulted"),
        ("workload", "check", "counter: it jumped by 7"),
        ("console", "check", "BUG: unable to handle page fault"),
    ]
    assert _left("direction-flag", DIFFERS, *come_of_it) == []
    before = [
        ("jump-memory", "P0 departure", "image->start 0x1000 is not mapped"),
        ("jump-memory", "callee-entry", "page differs at 0x1000"),
        ("jump-memory", "callee", "page differs at 0x1000"),
        ("jump-cpu", "callee-entry", "rsp: expected 0x1, found 0x2"),
        ("life", "callee", "life 1 (A), stage callee direction-flag 1: guest triple-faulted"),
        ("workload", "plant", "counter: it jumped by 7"),
        ("console", "", "BUG: unable to handle page fault"),
        ("jump-trace", "return", "a step is missing"),
        ("interrupts", "return", "LAPIC LVT0"),
    ]
    assert _left("direction-flag", DIFFERS, *before) == before
    assert _left("direction-flag", *come_of_it[3:]) == come_of_it[3:]


def test_a_direction_flag_may_make_the_way_back_endless() -> None:
    end = "life 1 (A), stage return {}: stage return {} took longer than its limit of 30 s"
    own, other = end.format(*["direction-flag 1"] * 2), end.format(*["plain 1"] * 2)
    (defect,) = (defect for defect in known.KNOWN if defect.id == "direction-flag")
    assert Applied((defect,)).explain([], GuestHang(own)) is None
    death = GuestHang(other)
    assert Applied((defect,)).explain([], death) is death


def test_kexec_tools_writes_the_pages_that_its_finding_names() -> None:
    def differs(gpa: int) -> tuple[str, str, str]:
        return ("jump-memory", "callee", f"page differs at {gpa:#x}")

    seen = [differs(0x9C000), differs(0x9CFFF), differs(0x9E347)]
    assert _left("kexec-tools-low-memory", *seen) == []
    other = [differs(gpa) for gpa in (0x1000, 0x9BFFF, 0x9D000, 0x9F000, 0x9C0000, 0x3EC008)]
    assert _left("kexec-tools-low-memory", *seen, *other) == other


def test_a_triple_fault_of_a_race_needs_a_lost_gdt() -> None:
    for stage in ("race", "clean-jump"):
        death = ("life", stage, f"life 1 (A), stage {stage} 1: guest triple-faulted")
        gdt = (
            "gdtr.base: expected 0x1, found 0x0 (known defect x, docs/findings/gdt-not-reloaded.md)"
        )
        assert _left("gdt-not-reloaded", death) == [death]
        assert _left("gdt-not-reloaded", ("jump-cpu", "return", gdt), death) == []


def test_a_cut_list_is_told_and_known_to_nobody() -> None:
    assert known.first_of(["a", "b"], 2) == ["a", "b"]
    assert known.first_of(["a", "b", "c", "d"], 2) == ["a", "b", "... and 2 more"]
    check = _check(*known.first_of(["a", "b", "c"], 2))
    Applied((_defect("all", Sign("", "", "")),)).explain([check], None)
    assert check.known == []


@pytest.mark.parametrize("lines", [20, 23])
def test_logs_that_are_cut_say_so(lines: int) -> None:
    console = [SimpleNamespace(text=f"WARNING: {number}") for number in range(lines)]
    life = cast(
        Life, SimpleNamespace(record=SimpleNamespace(index=1), console_problems=lambda: console)
    )
    told: list[Check] = []
    travel = SimpleNamespace(life=life, context=SimpleNamespace(record=told.append))
    travel.fail_or_pass = partial(Travel.fail_or_pass, cast(Travel, travel))
    Travel.check_log(cast(Travel, travel))
    told.append(LivenessChecks(cast(Agent, None), life, 0).log([life]))
    for check in told:
        ends = [finding.message for finding in check.findings[20:]]
        assert ends == (["... and 3 more"] if lines == 23 else [])
