# SPDX-License-Identifier: GPL-2.0-or-later
"""The image that B saved of A's memory, against RAM as it was at A's last instruction (P0)."""

from __future__ import annotations

import time

import jumpback_memory
import jumpback_relocation as relocation

from harness.jump.departure import Departure
from harness.jump.side import PAGE
from harness.oracles.vmcore import MACHINE, STATUS, BadVmcore, Vmcore
from harness.results import Check, Finding, RuleUse

ORACLE = "vmcore-image"
SAVE = "save"  # the stage that is blamed
LISTED = 16
_REASONS = dict(relocation.rules())
_SOURCES = RuleUse(
    "image-source", "left out: at A's last instruction it held B, which has been running since", 0
)
_FIRMWARE = RuleUse("not-ram", "left out: /proc/iomem of A does not call it System RAM", 0)


class VmcoreChecks:
    """``ranges``: System RAM of A, (first, last), by its /proc/iomem. ``number``: of the image."""

    def __init__(
        self, departure: Departure, ranges: list[tuple[int, int]], number: int, life: int
    ) -> None:
        self._departure = departure
        self._ranges = ranges
        self._number = number
        self._life = life

    def read(self, core: Vmcore) -> list[Check]:
        try:
            kernel = _kernel(self._departure)
        except jumpback_memory.MemoryModelError as error:
            # Its VMCOREINFO is read first, wherever A's pointer to it leads.
            return [self._unknown(f"A's own memory cannot be read: {error}")]
        return [
            self._headers(core, kernel),
            self._complete(core),
            self._pages(core),
            self._notes(core, kernel),
        ]

    def _unknown(self, message: str) -> Check:
        check = self._check("the image is an ELF core")
        self._add(check, message)
        return check

    def unreadable(self, error: BadVmcore) -> Check:
        return self._unknown(str(error))

    def _headers(self, core: Vmcore, kernel: jumpback_memory.GuestKernel) -> Check:
        """Addresses: each stretch's first and last page, in A's own page tables at P0."""
        check = self._check("the image is an ELF core")
        check.compared = len(core.stretches)
        wanted = MACHINE[self._departure.side.arch]
        if core.machine != wanted:
            self._add(check, f"e_machine: expected {wanted}, found {core.machine}")
        for part in core.stretches:
            for inside in {0, part.size - PAGE} if part.virtual else set():
                found = _translate(kernel, part.virtual + inside)
                if found != part.physical + inside:
                    self._add(
                        check,
                        f"p_vaddr {part.virtual + inside:#x}: expected it to be mapped to "
                        f"{part.physical + inside:#x}, found {found:#x}",
                        part.physical + inside,
                    )
        if not any(part.virtual for part in core.stretches):
            self._add(check, "no program header has a virtual address")
        return check

    def _complete(self, core: Vmcore) -> Check:
        """Every page of A's RAM is in it, or there is a reason."""
        check = self._check("the image has all of A's memory")
        departure = self._departure
        ram = self._ram_frames()
        held = core.pfns
        sources = {source // PAGE for _, source in departure.pairs}
        missing = sorted(ram - held - sources)
        strange = sorted(held - ram) + sorted(held & sources)
        for pfn in missing[:LISTED]:
            self._add(check, "a page of A is not in the image", pfn * PAGE)
        for pfn in strange[:LISTED]:
            text = "the image has a page that A did not have at its last instruction"
            self._add(check, text, pfn * PAGE)
        if missing or strange:
            check.detail = f"{len(missing)} pages are missing, {len(strange)} do not belong"
        check.compared = len(ram)
        everything = sum(size for _, _, size in departure.regions) // PAGE
        check.rules = [
            RuleUse(_SOURCES.name, _SOURCES.reason, len(sources & ram)),
            RuleUse(_FIRMWARE.name, _FIRMWARE.reason, everything - len(ram)),
        ]
        return check

    def _ram_frames(self) -> set[int]:
        return {
            pfn
            for first, last in self._ranges
            for pfn in range((first + PAGE - 1) // PAGE, (last + 1) // PAGE)
        }

    def _pages(self, core: Vmcore) -> Check:
        """Byte for byte; what may differ is what a jump itself writes, by the model."""
        began = time.monotonic()
        departure = self._departure
        check = self._check("the image is A's memory")
        allowed = departure.side.kernel.allowances(departure.places, "there", True)
        left_out = core.frames.others(departure.memory)
        found = relocation.compare_swapped(
            departure.memory,
            core.ram(departure.regions),
            relocation.Moves(),
            left_out=left_out,
            allowed=allowed,
            limit=LISTED,
        )
        check.compared = found.compared
        uses = found.rule_pages
        check.rules = [
            RuleUse(name, _REASONS[name], uses[name])
            for name in dict.fromkeys(allowance.rule for allowance in allowed)
        ]
        for page in found.differences:
            self._add(
                check,
                f"page of the image differs at {page.gpa:#x}",
                page.gpa,
                expected=page.expected,
                found=page.found,
                differing=page.differing,
            )
        if found.different:
            check.detail = f"{found.different} pages differ"
        check.seconds = time.monotonic() - began
        return check

    def _notes(self, core: Vmcore, kernel: jumpback_memory.GuestKernel) -> Check:
        """VMCOREINFO is what stands in A's memory, and of its release; the registers are those at
        relocate_kernel."""
        check = self._check("the image's notes are A's")
        check.compared = 1
        self._registers(core, check)
        info = core.note("VMCOREINFO")
        side = self._departure.side
        if info is None:
            self._add(check, "no note VMCOREINFO")
            return check
        line = f"OSRELEASE={side.release}\n".encode()
        if not info.startswith(line):
            self._add(check, f"VMCOREINFO: expected {line!r} first, found {info[:len(line)]!r}")
        try:
            pointer = kernel.read_virtual(side.symbols.address("vmcoreinfo_data"), side.word)
            wanted = kernel.read_virtual(int.from_bytes(pointer, "little"), len(info))
        except jumpback_memory.MemoryModelError as error:
            self._add(check, f"VMCOREINFO, {len(info)} bytes: A has no such note: {error}")
            return check
        if info != wanted:
            at = next(i for i, (a, b) in enumerate(zip(wanted, info)) if a != b)
            self._add(
                check,
                f"VMCOREINFO, byte {at:#x}: expected {wanted[at:at + 16]!r} as A has it, found "
                f"{info[at:at + 16]!r}",
            )
        return check

    def _registers(self, core: Vmcore, check: Check) -> None:
        """What a C function keeps, behind its call: NT_PRSTATUS."""
        departure = self._departure
        data = core.note("CORE")
        layout = STATUS[departure.side.arch]
        if data is None or len(data) != layout.size:
            self._add(check, "no note NT_PRSTATUS of the kernel's size")
            return
        general = departure.registers.general
        wanted = {name: general[name] for name in layout.kept}
        wanted |= {"ip": departure.return_address, "sp": departure.registers.sp + layout.word}
        wanted |= {"cs": departure.registers.selectors["cs"]}
        for name, value in wanted.items():
            found = layout.register(data, name)
            if found != value:
                self._add(check, f"NT_PRSTATUS, {name}: expected {value:#x}, found {found:#x}")
        check.compared += len(wanted)

    def _check(self, name: str) -> Check:
        return Check(f"{name}, snapshot {self._number}", ORACLE, True, cycle=self._number)

    def _add(
        self,
        check: Check,
        message: str,
        gpa: int | None = None,
        *,
        expected: bytes | None = None,
        found: bytes | None = None,
        differing: int | None = None,
    ) -> None:
        check.passed = False
        check.detail = check.detail or message
        check.findings.append(
            Finding(
                ORACLE,
                SAVE,
                message,
                cycle=self._number,
                life=self._life,
                gpa=gpa,
                pfn=None if gpa is None else gpa // PAGE,
                owner=None if gpa is None else self._departure.owner(gpa),
                expected=expected,
                found=found,
                differing_bytes=differing,
            )
        )


def _kernel(departure: Departure) -> jumpback_memory.GuestKernel:
    """A as it was at P0, from the capture."""
    assert departure.capture is not None
    control = departure.registers.control
    return jumpback_memory.GuestKernel(
        jumpback_memory.GuestRam(departure.capture.view(), departure.regions),
        departure.side.symbols.addresses(),
        departure.side.arch,
        cr3=control["cr3"],
        cr0=control["cr0"],
        cr4=control["cr4"],
        efer=control["efer"],
    )


def _translate(kernel: jumpback_memory.GuestKernel, address: int) -> int:
    """-1: it is not mapped."""
    if address >> 64:  # the last stretch runs over the end of all addresses
        return -1
    try:
        return kernel.translate(address)[0]
    except jumpback_memory.MemoryModelError:
        return -1
