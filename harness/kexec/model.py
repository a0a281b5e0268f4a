# SPDX-License-Identifier: GPL-2.0-or-later
"""The model of kexec_load (model/kimage) for one running kernel: answers, lists, predictions.

The one place of this package that knows the model's Python module.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import jumpback_kimage

from harness.kexec.allocation_trace import Allocation
from harness.kexec.calls import ON_CRASH, Call, Segment
from harness.kexec.guest_view import Conditions, GuestView
from harness.kexec.kimage_struct import Kimage


# Findings whose fix changes what kexec_load answers (model/kimage/python/convert.cpp).
_CHANGE_RULES = frozenset({"jump-back-helper-segment", "crash-image-preserve"})


@dataclass
class CallState:
    """What was done to the kernel before a call."""

    disabled: bool = False  # kexec_load_disabled
    locked: bool = False  # the kexec lock is held
    # kexec_load_limit_reboot and _panic: calls that are still allowed; None: any number
    limit: int | None = None
    crash_limit: int | None = None


@dataclass(frozen=True)
class Answer:
    """``error``: an errno name, "0" for success. ``check``: the one that ends the call."""

    error: str
    check: str = ""
    function: str = ""  # of the kernel, that makes it
    text: str = ""

    @property
    def where(self) -> str:
        if not self.check:
            return "every check passes"
        text = f": {self.text}" if self.text else ""
        return f"check {self.check!r} in {self.function}{text}"


@dataclass(frozen=True)
class Malformed:
    """Why a list is not sound. ``list_page`` is None where the head itself is wrong, or where no
    single word is."""

    kind: str
    message: str
    list_page: int | None  # gpa
    index: int  # of the word in it
    raw: int  # the word


@dataclass(frozen=True)
class ReadList:
    """A page list as the kernel's own code reads it; with ``malformed``, what came before."""

    moves: list[tuple[int, int]]  # destination, source; gpa
    list_pages: list[int]  # gpa
    words: int
    lone: int  # DESTINATION words without a SOURCE
    malformed: Malformed | None


@dataclass(frozen=True)
class Prediction:
    """``problem`` is set where the model could not build a list from the frames."""

    problem: str
    list_pages: list[tuple[int, list[int]]] = field(default_factory=list)  # gpa, words to the end
    head: int = 0
    control: list[int] = field(default_factory=list)  # gpa: code, swap, page tables
    moved: int = 0  # pages that were given up for their own destination
    used: int = 0  # frames of the trace


class Model:
    """``release``: of the kernel whose rules hold, "6.1.192". ``fixed``: pages of docs/findings,
    without ".md", whose defect its patches mend."""

    def __init__(
        self,
        release: str,
        arch: str,
        conditions: Conditions,
        fixed: frozenset[str] = frozenset(),
    ) -> None:
        self.release = release
        self.arch = arch
        self.conditions = conditions
        self.fixed = fixed
        self._setup: dict[str, Any] = {
            "kexec_jump": conditions.kexec_jump,
            "five_level": conditions.five_level,
            "page_offset": conditions.page_offset & 0xFFFFFFFF,
        }
        if ours := fixed & _CHANGE_RULES:
            self._setup["fixed"] = sorted(ours)

    def answer(self, call: Call, state: CallState) -> Answer:
        """What the call must return. Counts the limits of ``state`` down as the kernel does."""
        conditions: dict[str, Any] = {
            "may_load": not state.disabled,
            "locked": state.locked,
            "segments_readable": call.array_readable,
            "totalram_pages": self.conditions.totalram_pages,
            "crash": self.conditions.crash,
            "unreadable_buffer": call.first_faulting,
        }
        name = "crash_limit" if call.flags & ON_CRASH else "limit"
        left = getattr(state, name)
        if left is not None:
            conditions["load_limit"] = left
        verdict = jumpback_kimage.check_load(
            self.release,
            self.arch,
            self._setup,
            conditions,
            call.entry,
            call.flags,
            _triples(call.handed) if call.number <= 64 else [(0, 0, 0)] * 64,
        )
        if verdict["uses_load_limit"] and left is not None:
            setattr(state, name, left - 1)
        if verdict["result"] == 0:
            return Answer("0")
        return Answer(verdict["errno"], verdict["check"], verdict["function"], verdict["text"])

    def read(self, view: GuestView, image: Kimage) -> ReadList:
        """The list of an image in RAM. Frames that the image keeps must not be moved by it."""
        got = jumpback_kimage.decode(view.buffer, view.regions, image.head, self.arch, image.kept)
        bad = None
        if "kind" in got:
            bad = Malformed(got["kind"], got["message"], got["list_page"], got["index"], got["raw"])
        return ReadList(got["moves"], got["list_pages"], got["words"], got["lone"], bad)

    def predict(
        self, segments: Sequence[Segment], trace: Sequence[Allocation], tables: int
    ) -> Prediction:
        """The list that a load must build from these frames. ``tables``: how many control pages
        machine_kexec_prepare() took, for what it maps depends on the machine."""
        made = jumpback_kimage.build(
            self.release,
            self.arch,
            self._setup,
            _triples(segments),
            [(item.first, item.order) for item in trace],
            self.conditions.lowmem_end,
            tables,
        )
        control = [made["control_code"], made["swap"], *made["page_tables"]]
        return Prediction(
            problem=made["text"] if made["error"] else "",
            list_pages=made["list_pages"],
            head=made["head"],
            control=[gpa for gpa in control if gpa is not None],
            moved=made["moved"],
            used=made["used"],
        )


def _triples(segments: Sequence[Segment]) -> list[tuple[int, int, int]]:
    return [(segment.bufsz, segment.mem, segment.memsz) for segment in segments]
