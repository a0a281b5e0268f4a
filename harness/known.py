# SPDX-License-Identifier: GPL-2.0-or-later
"""Known upstream defects: which kernels have them, which scenarios run into them, how they show.

A failure that the table explains makes a run XFAIL, anything else about the run stays what it is;
a run that had to show a defect and did not is XPASS. Each defect has its page in docs/findings.
Versions are those of the models (model/relocate/defects.cpp, model/jump/faults.cpp), and
harness/tests/test_known.py holds them to each other.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.errors import InfraError
from harness.results import Check, KnownDefect

Release = tuple[int, int]


class Meets(enum.Enum):
    """Whether a run shows a defect that its kernel has."""

    NEVER = "what it does has nothing to do with it, and is not explained by it"
    MAY = "it can show, and need not"
    MUST = "it has to show"


# By the scenario's own options.
When = Callable[[Mapping[str, Any]], Meets]

PAGES = "docs/findings"
LIFE = "life"  # the oracle that tells how a life ended; a death that ends the run counts as its


@dataclass(frozen=True)
class Stand:
    """From which version on one architecture has a defect, and the first without it, if any."""

    first: Release
    fixed: Release | None = None

    def __str__(self) -> str:
        first = _dotted(self.first)
        return f"from {first} on" + (f", before {_dotted(self.fixed)}" if self.fixed else "")


# What a list of findings that was cut off ends with. No sign fits it: nobody has seen the rest.
_AND_MORE = re.compile(r"\.\.\. and \d+ more$")


def and_more(count: int) -> str:
    """The message of a finding that stands for ``count`` others, which are not listed."""
    return f"... and {count} more"


def first_of(problems: Sequence[str], most: int) -> list[str]:
    """At most ``most`` of them, and how many are not listed."""
    rest = len(problems) - most
    return [*problems[:most], *([and_more(rest)] if rest > 0 else [])]


@dataclass(frozen=True)
class Symptom:
    """What the signs are held to: a finding of a failed check, or what ended the run."""

    oracle: str
    stage: str
    text: str


@dataclass(frozen=True)
class Sign:
    """One way in which a defect shows, as patterns that are searched for.

    ``follows``: it is this defect's doing only if another of its signs was seen in the same run.
    """

    oracle: str
    stage: str
    words: str
    follows: bool = False

    def fits(self, symptom: Symptom) -> bool:
        return not _AND_MORE.match(symptom.text) and all(
            re.search(pattern, text)
            for pattern, text in (
                (self.oracle, symptom.oracle),
                (self.stage, symptom.stage),
                (self.words, symptom.text),
            )
        )


@dataclass(frozen=True)
class Defect:
    """``fatal``: where it shows, the run cannot get to what stands behind it in the table."""

    id: str  # the page's name
    summary: str
    stands: Mapping[str, Stand]  # by architecture
    signs: Sequence[Sign]
    scenarios: Mapping[str, When]  # that run into it
    fatal: bool = False

    @property
    def page(self) -> str:
        return f"{PAGES}/{self.id}.md"

    def stands_in(self, release: str, arch: str) -> bool:
        """Whether a kernel of this release has it, as it came from upstream."""
        stand, version = self.stands.get(arch), parse_release(release)
        if stand is None or version is None:
            return False
        return version >= stand.first and (stand.fixed is None or version < stand.fixed)


def parse_release(release: str) -> Release | None:
    """ "6.1.192-jumpback" is (6, 1): releases are compared as the models compare them."""
    numbers = re.match(r"(\d+)\.(\d+)", release)
    return (int(numbers[1]), int(numbers[2])) if numbers else None


def _dotted(release: Release) -> str:
    return ".".join(map(str, release))


def untampered(chosen: Mapping[str, Any]) -> Meets:
    """A fault that the rig puts in may keep a run from getting to the defect."""
    return Meets.MAY if chosen.get("tamper") else Meets.MUST


def _suspend_fails(chosen: Mapping[str, Any]) -> Meets:
    met = chosen.get("step") in ("all", "refusing-device", "suspend-devices")
    return untampered(chosen) if met else Meets.NEVER


def _plain_return(chosen: Mapping[str, Any]) -> Meets:
    """Other payloads may show it, too."""
    return untampered(chosen) if chosen.get("payload") in ("all", "plain") else Meets.MAY


def _direction_flag(chosen: Mapping[str, Any]) -> Meets:
    met = chosen.get("payload") == "direction-flag"
    return untampered(chosen) if met else Meets.NEVER


def _kexec_tools(chosen: Mapping[str, Any]) -> Meets:
    met = chosen.get("loader") == "kexec-tools"
    return untampered(chosen) if met else Meets.NEVER


# What comes of it: the machine does not get back to C, or not far in it.
_DIES = (
    Sign("^jump-cpu$", "^return$", "was not reached: .*guest triple-faulted", follows=True),
    Sign("^life$", "^(return|resume|clean-jump)", "guest triple-faulted", follows=True),
)

# The steps of jump-fail-step that make dpm_suspend_start() fail.
_SUSPEND = "^(refusing-device|suspend-devices)$"

# In the order in which a run that jumps and comes back meets them.
KNOWN: tuple[Defect, ...] = (
    Defect(
        id="unwinding-label",
        summary="devices stay suspended when dpm_suspend_start() fails",
        stands={"x86_64": Stand((2, 6), (6, 17)), "i386": Stand((2, 6), (6, 17))},
        signs=(
            Sign("^jump-trace$", "^suspend-devices$", "2008-2025 unwinding bug"),
            Sign("^devices$", _SUSPEND, r"^\d+ devices stay suspended"),
        ),
        scenarios={"jump-fail-step": _suspend_fails},
        # The serial line that the agent speaks on is among the devices.
        fatal=True,
    ),
    Defect(
        id="kexec-tools-no-vmcore",
        summary="kexec-tools' headers have no note, so that there is no /proc/vmcore",
        stands={"x86_64": Stand((2, 6)), "i386": Stand((2, 6))},
        signs=(
            Sign("^vmcore$", "^callee$", "/proc/vmcore: No such file"),
            Sign("^console$", "", r"WARNING: .*mm/vmalloc\.c:\d", follows=True),
            Sign("^console$", "", r"-\[ cut here \]-", follows=True),
        ),
        scenarios={"jump-kernel": _kexec_tools},
    ),
    Defect(
        id="kexec-tools-low-memory",
        summary="kexec-tools does not keep B from A's memory below 1 MiB",
        stands={"x86_64": Stand((2, 6)), "i386": Stand((2, 6))},
        signs=(
            # The pages that the finding names.
            Sign("^jump-memory$", "^(callee|return)$", r"^page differs at 0x9[ce][0-9a-f]{3}$"),
        ),
        scenarios={"jump-kernel": _kexec_tools},
    ),
    Defect(
        id="jump-back-entry-unmapped",
        summary="the identity map of the kernel that jumps back does not hold the entry",
        # Up to 5.10 pages of 1 GiB, where the CPU has them, may happen to map it.
        stands={"x86_64": Stand((2, 6))},
        signs=(
            Sign("^jump-memory$", "departure$", r"^image->start \S+ is not mapped"),
            *_DIES,
            # From 6.16 on a debug IDT catches the fault, and the CPU halts there.
            Sign("^jump-cpu$", "^return$", "was not reached: exception 14 at RIP", follows=True),
            Sign("^life$", "^return", "took longer than its limit", follows=True),
        ),
        scenarios={
            "jump-kernel": untampered,
            "jump-pingpong": untampered,
            "jump-snapshot": untampered,
        },
        fatal=True,
    ),
    Defect(
        id="direction-flag",
        summary="the way back runs with the callee's direction flag",
        stands={"x86_64": Stand((2, 6)), "i386": Stand((2, 6))},
        signs=(
            Sign("^jump-memory$", "^return$", "^page differs at "),
            Sign("^jump-cpu$", "^return$", "^virtual_mapped .* was not reached: "),
            # The copy may not come to an end (6.1, i386).
            Sign("^life$", "^return direction-flag", "took longer than its limit"),
            # Memory is wrong from then on, and what comes of that is its doing; nothing before.
            Sign(
                "^(life|jump-cpu|jump-memory|workload|console)$",
                "^(return|resume|check)",
                "",
                follows=True,
            ),
        ),
        scenarios={"jump-call": _direction_flag},
        fatal=True,
    ),
    Defect(
        id="gdt-not-reloaded",
        summary="the GDT is not loaded again before the return to C",
        stands={"x86_64": Stand((3, 11), (6, 12)), "i386": Stand((3, 11))},
        signs=(
            Sign("^jump-cpu$", "^return$", r"known defect .*/gdt-not-reloaded\.md"),
            *_DIES,
            # Nobody stops at the jumps there: harness/jump/race_death.py looks at the dead.
            Sign("^life$", "^race", "guest triple-faulted", follows=True),
        ),
        scenarios={
            "jump-call": untampered,
            "jump-fail-step": untampered,
            "jump-kernel": untampered,
            "jump-pingpong": untampered,
            "jump-race": untampered,
            "jump-snapshot": untampered,
        },
        fatal=True,
    ),
    Defect(
        id="no-reentry-slot",
        summary="the callee's stack has no slot for the re-entry word",
        stands={"x86_64": Stand((2, 6), (6, 14)), "i386": Stand((2, 6))},
        signs=(
            Sign("^jump-(cpu|memory)$", "", r"known defect .*/no-reentry-slot\.md"),
            Sign("^payload$", "^return$", "the entry of the next call: expected", follows=True),
            Sign("^jump-cpu$", "^return$", "^virtual_mapped .* was not reached: ", follows=True),
            Sign("^life$", "^return", "guest triple-faulted|took longer than", follows=True),
        ),
        scenarios={"jump-call": _plain_return, "jump-fail-step": untampered},
    ),
)


@dataclass
class Applied:
    """The known defects that one run may show, and what of it they explain."""

    defects: Sequence[Defect] = ()
    must: frozenset[str] = frozenset()  # ids of those that it has to show
    seen: dict[str, list[str]] = field(default_factory=dict)  # id: what it explains

    def explain(self, checks: Iterable[Check], death: Exception | None) -> Exception | None:
        """Marks each failed check of which all is known. Returns the death if it is not."""
        failed = [(check, symptoms_of(check)) for check in checks if not check.passed]
        # A failure of the rig or the host is nobody's symptom.
        end = [] if death is None or isinstance(death, InfraError) else [_death(str(death))]
        everything = [symptom for _, symptoms in failed for symptom in symptoms] + end
        signs = self._signs(everything)
        for check, symptoms in failed:
            causes = [_cause(symptom, signs) for symptom in symptoms]
            names = sorted(filter(None, set(causes)))
            for name in names:
                self.seen.setdefault(name, []).append(check.name)
            if all(causes):  # one thing that nobody knows is enough
                check.known = names
        cause = _cause(end[0], signs) if end else None
        if cause is None:
            return death
        self.seen.setdefault(cause, []).append(end[0].text.split("\n")[0])
        return None

    def _signs(self, everything: Sequence[Symptom]) -> list[tuple[str, Sign]]:
        """Those that count in this run, each with its defect's id."""
        counting = []
        for defect in self.defects:
            alone = [sign for sign in defect.signs if not sign.follows]
            shown = any(sign.fits(symptom) for sign in alone for symptom in everything)
            counting += [(defect.id, sign) for sign in (defect.signs if shown else alone)]
        return counting

    def missing(self) -> list[Defect]:
        """Those that had to show, did not, and do not stand behind one that is fatal."""
        gone = []
        for defect in self.defects:
            if defect.id in self.must and defect.id not in self.seen:
                gone.append(defect)
            if defect.fatal and defect.id in self.seen:
                break
        return gone

    def results(self) -> list[KnownDefect]:
        return [
            KnownDefect(
                defect.id,
                defect.page,
                defect.summary,
                defect.id in self.seen,
                self.seen.get(defect.id, []),
            )
            for defect in self.defects
            if defect.id in self.must or defect.id in self.seen
        ]


def applied(
    *,
    release: str,
    arch: str,
    fixed: frozenset[str],
    scenario: str,
    chosen: Mapping[str, Any],
) -> Applied:
    """``fixed``: what the kernel's own patches mend, by the names of the pages."""
    here, must = [], set()
    for defect in KNOWN:
        if scenario not in defect.scenarios or defect.id in fixed:
            continue
        meets = defect.scenarios[scenario](chosen)
        if meets is not Meets.NEVER and defect.stands_in(release, arch):
            here.append(defect)
            must |= {defect.id} if meets is Meets.MUST else set()
    return Applied(here, frozenset(must))


def symptoms_of(check: Check) -> list[Symptom]:
    if not check.findings:
        return [Symptom(check.oracle, _stage_in(check.detail), check.detail)]
    return [
        Symptom(finding.oracle, finding.stage or _stage_in(finding.message), finding.message)
        for finding in check.findings
    ]


def _death(text: str) -> Symptom:
    return Symptom(LIFE, _stage_in(text), text)


def _stage_in(text: str) -> str:
    """Where a life stood, as the texts of its end say it: "life 1 (A), stage boot: ..."."""
    said = re.match(r"life \d+ \(\w+\), stage ([^:\n]+):", text)
    return said[1] if said else ""


def _cause(symptom: Symptom, signs: Sequence[tuple[str, Sign]]) -> str | None:
    return next((name for name, sign in signs if sign.fits(symptom)), None)
