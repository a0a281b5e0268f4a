# SPDX-License-Identifier: GPL-2.0-or-later
"""The CPU at the stops of a kexec jump, against the model (model/relocate/expect.h).

A difference that a known defect of the kernel explains names the defect and its page. That there is
no slot for the re-entry word on the callee's stack (up to 6.13, and on i386) is no failure at the
callee's entry: it does no harm before somebody returns through it.
"""

from __future__ import annotations

from collections.abc import Iterable

import jumpback_relocation as relocation

from harness.jump.departure import Departure, cpu_state
from harness.jump.side import CALLEE_ENTRY, CPU_ORACLE, DEPARTURE, PAGE, RETURN
from harness.machine.registers import Registers
from harness.results import Check, Finding

_NO_SLOT = "no-reentry-slot"
_REGISTERS_AT_ENTRY = 20  # that the model compares, about: rip, stack words, flags, CRs, tables
_REGISTERS_AT_RETURN = 24


class CpuChecks:
    def __init__(self, departure: Departure, life: int, cycle: int) -> None:
        self._departure = departure
        self._role = departure.side.role
        self._narrow = departure.side.word == 4
        self._life = life
        self._cycle = cycle

    def at_departure(self) -> Check:
        """relocate_kernel gets the image's own pages, and what it needs on the way back is kept."""
        departure = self._departure
        arguments, image = departure.arguments, departure.image
        swap = image.swap.first * PAGE if image.swap is not None else 0
        wanted = [
            ("image->head", image.head, arguments.head),
            ("image->start", image.start, arguments.start),
            ("preserve_context", 1, int(arguments.preserve)),
            ("control page", departure.stops.control_page, arguments.control_page),
            ("swap page", swap, arguments.swap_page),
            ("GDT kept in saved_context", 1, int(departure.gdt_kept)),
        ]
        check = Check(
            f"{self._role} calls relocate_kernel with its image's pages", CPU_ORACLE, True
        )
        check.cycle = self._cycle
        check.compared = len(wanted)
        for name, want, got in wanted:
            if want != got:
                self._add(
                    check, DEPARTURE, f"{name}: expected {want:#x}, found {got:#x}", name, want, got
                )
        return check

    def at_entry(self, now: Registers, ram: relocation.Ram) -> Check:
        departure = self._departure
        found = departure.side.kernel.check_callee_entry(
            departure.places,
            start=departure.arguments.start,
            has_pae=departure.arguments.has_pae,
            at_call=departure.state,
            found=cpu_state(now),
            ram=ram,
        )
        check = Check("registers at the callee's entry", CPU_ORACLE, True, cycle=self._cycle)
        check.compared = _REGISTERS_AT_ENTRY
        self._judge(check, CALLEE_ENTRY, found)
        return check

    def at_return(self, now: Registers, word: int, slot_free: bool) -> Check:
        """Behind the call in machine_kexec(). ``word``: at the callee's stack pointer at P2;
        ``slot_free``: that was above the swap page, where nobody has put anything."""
        departure = self._departure
        assert departure.callee is not None
        found = departure.side.kernel.check_return(
            at_call=departure.state,
            callee=cpu_state(departure.callee),
            found=cpu_state(now),
            saved_gdt=departure.saved_gdt,
            return_address=departure.return_address,
            reentry=departure.arguments.start if slot_free else word,
            reentry_without_slot=word if slot_free else None,
        )
        check = Check(f"registers at {self._role}'s return", CPU_ORACLE, True, cycle=self._cycle)
        check.compared = _REGISTERS_AT_RETURN
        self._judge(check, RETURN, found)
        return check

    def _judge(self, check: Check, stage: str, found: Iterable[relocation.Difference]) -> None:
        for difference in found:
            item, known = difference["item"], difference["known"]
            if self._narrow and item[0] == "r" and " " not in item and "-" not in item:
                item = "e" + item[1:]  # eax, eip, eflags
            text = (
                f"{item}: expected {difference['expected']:#x}, found {difference['found']:#x}"
                + _explained(difference)
            )
            harmless = stage == CALLEE_ENTRY and known is not None and _NO_SLOT in known["page"]
            if harmless:
                check.detail = text
                continue
            self._add(check, stage, text, item, difference["expected"], difference["found"])

    def _add(self, check: Check, stage: str, message: str, owner: str, want: int, got: int) -> None:
        if check.passed:
            check.passed, check.detail = False, message
        check.findings.append(
            Finding(
                CPU_ORACLE,
                stage,
                message,
                cycle=self._cycle,
                life=self._life,
                owner=owner,
                expected=want.to_bytes(8, "little"),
                found=got.to_bytes(8, "little"),
            )
        )


def _explained(difference: relocation.Difference) -> str:
    known, resembles = difference["known"], difference["resembles"]
    if known is not None:
        page = f", {known['page']}" if known["page"] else ""
        return f" (known defect {known['id']}: {known['summary']}{page})"
    if resembles is not None:
        return f" (as with defect {resembles['id']}, which this kernel should not have)"
    return ""
