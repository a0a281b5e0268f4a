# SPDX-License-Identifier: GPL-2.0-or-later
"""The table of known defects: its facts, and what of a run it explains."""

from __future__ import annotations

from collections.abc import Iterator

import jumpback_jump as jj
import jumpback_relocate as jr
import pytest
from click.testing import CliRunner

import kernel
from harness import known
from harness.cli.listing import list_command
from harness.errors import GuestPanic, InfraError
from harness.known import Applied, Defect, Sign, Stand
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
        target = jr.Target.open(listed.folder / "vmlinux")
        pages = {defect["page"] for defect in target.defects}
        for defect in known.KNOWN:
            if defect.id in ("gdt-not-reloaded", "no-reentry-slot"):
                assert defect.stands_in(target.release, target.arch) == (defect.page in pages)
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
