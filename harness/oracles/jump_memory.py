# SPDX-License-Identifier: GPL-2.0-or-later
"""All of RAM at the stops of a kexec jump, against the capture at the departure (P0).

Between P0 and P1 the list's pages change places and nothing else happens; between P1 and P2 the
callee writes what is its own; between P2 and P3 the pages change places again. What else may differ
is named byte by byte by the model (model/relocate/frame.h).
"""

from __future__ import annotations

import contextlib
import shutil
import time
from pathlib import Path

import jumpback_relocation as relocation
import jumpback_vm

from harness.hibernation.scratch import scratch_folder
from harness.jump.departure import Departure
from harness.jump.page_walk import read_ram
from harness.jump.side import CALLEE, CALLEE_ENTRY, DEPARTURE, MEMORY_ORACLE, PAGE, RETURN
from harness.machine import Life
from harness.known import and_more
from harness.results import Check, Finding, RuleUse

LISTED = 16  # findings of one check that are written out; all are counted
_SLOTS = 3  # two kernels may be away at a time, and a third is about to leave
_NO_SLOT = "no-reentry-slot"
_ACCESSED = 1 << 40  # the accessed bit of a segment descriptor
_NO_RAM = "the control page is no RAM"
_REASONS = dict(relocation.rules())


class JumpMemory:
    """RAM of one life: captures and views. ``close`` gives them back."""

    def __init__(self, life: Life, folder: Path) -> None:
        self._life = life
        self.regions = [(part.gpa, part.offset, part.size) for part in life.ram.ranges]
        self._file = jumpback_vm.RamFile(str(life.ram.path), self.regions)
        self._scratch = scratch_folder(life.ram.size, folder, captures=_SLOTS)
        self._pool: jumpback_vm.CapturePool | None = jumpback_vm.CapturePool(
            str(self._scratch), life.ram.size, _SLOTS
        )

    def prepare(self) -> None:
        """Makes room for the next capture, if none has left some."""
        assert self._pool is not None
        if self._pool.free == 0:
            self._pool.prepare(self._file)

    def capture(self) -> jumpback_vm.Capture:
        assert self._pool is not None
        return self._pool.capture(self._file)

    def now(self) -> relocation.Ram:
        """RAM as it is, without a copy; good until the machine goes on."""
        return relocation.Ram(self._file.view(), self.regions, self._file.extents())

    def close(self) -> None:
        self._pool = None
        shutil.rmtree(self._scratch, ignore_errors=True)


class MemoryChecks:
    """The memory checks of one departure. ``now``: RAM at the stop."""

    def __init__(self, departure: Departure, life: int, cycle: int) -> None:
        self._departure = departure
        self._role = departure.side.role
        self._life = life
        self._cycle = cycle

    def at_departure(self) -> list[Check]:
        departure = self._departure
        listed = self._check(f"{self._role}'s page list is well formed at the departure")
        listed.compared = len(departure.pairs)
        if departure.list_problem:
            self._add(listed, DEPARTURE, departure.list_problem, departure.arguments.head & ~0xFFF)
        mapped = self._check(f"{self._role}'s kexec page tables map what the jump needs")
        mapped.compared = 1
        for name, address in departure.unmapped[:LISTED]:
            text = f"{name} {address:#x} is not mapped at its physical address"
            self._add(mapped, DEPARTURE, text, address, owner=name)
        self._not_listed(mapped, DEPARTURE, len(departure.unmapped))
        return [listed, mapped]

    def at_entry(self, now: relocation.Ram) -> Check:
        """P1: P0 with its pages exchanged."""
        departure = self._departure
        began = time.monotonic()
        check = self._check(f"memory at the callee's entry is {self._role}'s, pages swapped")
        # The kernel's stack and its own page tables may lie in a destination.
        allowed = departure.moves.follow(self._allowed(len(departure.moves) > 0))
        self._compare(check, CALLEE_ENTRY, now, departure.moves, relocation.Frames(), allowed)
        page = departure.arguments.control_page
        control = read_ram(now, page, PAGE)
        if control is None:
            self._add(check, CALLEE_ENTRY, _NO_RAM, page, owner="control page")
        departure.control_at_entry = control or bytes(PAGE)
        check.seconds = time.monotonic() - began
        return check

    def at_return_point(self, now: relocation.Ram) -> list[Check]:
        """P2: the callee has changed what is its own, and nothing else. What is its own it gives
        up: it is kept, to be found in the source pages at P3."""
        departure = self._departure
        began = time.monotonic()
        check = self._check(f"{self._role}'s memory was left alone by the callee")
        allowed = departure.moves.follow(self._allowed(True))
        left_out = departure.destinations | self._not_owned(now)
        self._compare(check, CALLEE, now, departure.moves, left_out, allowed)
        control = self._control_page(now)
        with contextlib.suppress(relocation.RelocationError):  # not RAM: the check has told
            departure.left.take(now, departure.moves)
        check.seconds = time.monotonic() - began
        return [check, control]

    def _control_page(self, now: relocation.Ram) -> Check:
        """The way back depends on it. The comparison with P0 allows what relocate_kernel wrote
        there; this one, with P1, does not."""
        departure = self._departure
        check = self._check(f"{self._role}'s control page is as relocate_kernel left it")
        check.compared = 1
        page = departure.arguments.control_page
        left = bytearray(departure.control_at_entry)
        control = read_ram(now, page, PAGE)
        if control is None:
            self._add(check, CALLEE, _NO_RAM, page, owner="control page")
            return check
        right = bytearray(control)
        allowed = departure.side.kernel.allowances(departure.places, "there", True)
        for allowance in allowed:
            if allowance.rule == "debug-gdt":  # loading a segment register sets it
                start = allowance.gpa - page
                for at in range(start + 5, start + allowance.length, 8):
                    left[at] |= _ACCESSED >> 40
                    right[at] |= _ACCESSED >> 40
        differing = [at for at in range(PAGE) if left[at] != right[at]]
        if differing:
            at = differing[0]
            self._add(
                check,
                CALLEE,
                "the callee has changed the control page",
                page + at,
                expected=bytes(left[at : at + 16]),
                found=bytes(right[at : at + 16]),
                differing=len(differing),
            )
        return check

    def at_return(self, now: relocation.Ram) -> list[Check]:
        """P3: P0 again, and the image's source pages hold what the callee left."""
        departure = self._departure
        began = time.monotonic()
        check = self._check(f"memory at {self._role}'s return is that of its departure")
        allowed = self._allowed(True)
        allowed += departure.side.kernel.allowances(departure.places, "back", True)
        left_out = departure.moves.sources | self._not_owned(now)
        self._compare(check, RETURN, now, relocation.Moves(), left_out, allowed)
        check.seconds = time.monotonic() - began
        began = time.monotonic()
        image = self._check("the image's source pages hold what the callee left")
        stack = departure.moves.follow(self._callee_stack())
        try:
            copied = relocation.compare_copy(
                departure.left, now, departure.moves, allowed=stack, limit=LISTED
            )
        except relocation.RelocationError as error:
            self._add(image, RETURN, str(error), departure.arguments.head & ~0xFFF)
        else:
            self._judge(image, RETURN, copied, stack)
        image.seconds = time.monotonic() - began
        return [check, image]

    def _allowed(self, moved_pages: bool) -> list[relocation.Allowance]:
        """By the way there. ``moved_pages``: through the swap page; a callee, too, may write all of
        that, as its stack begins at the top of it."""
        departure = self._departure
        allowed = departure.side.kernel.allowances(departure.places, "there", moved_pages)
        return allowed + departure.stack_below

    def _callee_stack(self) -> list[relocation.Allowance]:
        """i386's way back calls the next instruction to learn where it is (relocate_kernel_32.S),
        before it has a stack of its own: with a slot for the re-entry word, which is popped, that
        goes into the slot."""
        departure = self._departure
        if departure.side.word != 4 or departure.callee is None:
            return []
        top = departure.callee.sp - (0 if departure.side.kernel.reentry_slot else 4)
        return [relocation.Allowance("callee-stack", top, 4)]

    def _not_owned(self, ram: relocation.Ram) -> relocation.Frames:
        owns = self._departure.side.owns
        return relocation.Frames() if owns is None else owns.others(ram)

    def _check(self, name: str) -> Check:
        return Check(name, MEMORY_ORACLE, True, cycle=self._cycle)

    def _compare(
        self,
        check: Check,
        stage: str,
        now: relocation.Ram,
        moves: relocation.Moves,
        left_out: relocation.Frames,
        allowed: list[relocation.Allowance],
    ) -> None:
        """With the capture at the departure; ``moves``: those that have been made since."""
        try:
            found = relocation.compare_swapped(
                self._departure.memory,
                now,
                moves,
                left_out=left_out,
                allowed=allowed,
                limit=LISTED,
            )
        except relocation.RelocationError as error:
            # A list that moves a page twice, or one that is not RAM: nobody can say what to expect.
            self._add(check, stage, str(error), self._departure.arguments.head & ~0xFFF)
            return
        self._judge(check, stage, found, allowed, swapped=len(moves) > 0)

    def _judge(
        self,
        check: Check,
        stage: str,
        found: relocation.FrameComparison,
        allowed: list[relocation.Allowance],
        *,
        swapped: bool = False,
    ) -> None:
        check.compared += found.compared
        uses = found.rule_pages
        check.rules = [
            RuleUse(name, _REASONS[name], uses[name])
            for name in dict.fromkeys(allowance.rule for allowance in allowed)
        ]
        if found.different:
            check.detail = f"{found.different} pages differ"
            if found.different > LISTED:
                check.detail += f"; the first {LISTED} are listed"
        for page in found.differences:
            self._add(
                check,
                stage,
                f"page differs at {page.gpa:#x}{self._known(page)}",
                page.gpa,
                owner=self._departure.owner(page.gpa, swapped=swapped),
                expected=page.expected,
                found=page.found,
                differing=page.differing,
            )
        self._not_listed(check, stage, found.different)

    def _known(self, page: relocation.PageDifference) -> str:
        """Where the callee's stack has no slot for the re-entry word, a callee that fills its slot
        writes the first word behind the swap page. Nothing else there is that defect's doing."""
        side = self._departure.side
        behind = self._departure.arguments.swap_page + PAGE
        rest = behind + side.word - page.gpa  # of that word, from the first differing byte on
        if side.kernel.reentry_slot or not 0 < rest <= side.word:
            return ""
        pairs = zip(page.expected[:rest], page.found[:rest])
        if sum(expected != found for expected, found in pairs) != page.differing:
            return ""
        (defect,) = (one for one in side.kernel.defects if _NO_SLOT in one["page"])
        return f" (known defect {defect['id']}: {defect['summary']}, {defect['page']})"

    def _not_listed(self, check: Check, stage: str, count: int) -> None:
        if count > LISTED:
            check.findings.append(
                Finding(
                    *(MEMORY_ORACLE, stage, and_more(count - LISTED)),
                    cycle=self._cycle,
                    life=self._life,
                )
            )

    def _add(
        self,
        check: Check,
        stage: str,
        message: str,
        gpa: int,
        *,
        owner: str | None = None,
        expected: bytes | None = None,
        found: bytes | None = None,
        differing: int | None = None,
    ) -> None:
        check.passed = False
        check.detail = check.detail or message
        check.findings.append(
            Finding(
                MEMORY_ORACLE,
                stage,
                message,
                cycle=self._cycle,
                life=self._life,
                gpa=gpa,
                pfn=gpa // PAGE,
                owner=owner or self._departure.owner(gpa),
                expected=expected,
                found=found,
                differing_bytes=differing,
            )
        )
