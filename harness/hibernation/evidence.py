# SPDX-License-Identifier: GPL-2.0-or-later
"""What is kept of a cycle to judge it by, and the judging: image, snapshot RAM, restored RAM.

The captures are files on a tmpfs, reused from cycle to cycle; the restored RAM is not copied at
all, but compared in place while the machine stands still.
"""

from __future__ import annotations

import bisect
import mmap
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path

import jumpback_image
import jumpback_memory
import jumpback_vm

from harness.context import RunContext
from harness.hibernation.frames import frame_map
from harness.hibernation.scratch import scratch_folder
from harness.machine import Life
from harness.oracles.owner import Owners
from harness.oracles.rules import ExceptedRange, rules_in, snapshot_rules
from harness.oracles.snapshot_stop import SnapshotEntry
from harness.results import Check, Finding, FrameMap, RuleUse

COVERAGE = "nothing that had to be saved is missing"
LISTED = 64  # findings of one check that are written out; all are counted, and drawn
DRAWN = 1 << 20  # differing pages that the map shows: all of 4 GiB
PAGE = 4096

Region = tuple[int, int, int]  # gpa, offset in the RAM file, length; bytes


@dataclass
class SnapshotEvidence:
    """RAM and CPU 0 right after the kernel copied its last page."""

    capture: jumpback_vm.Capture
    regions: list[Region]
    entry: SnapshotEntry


@dataclass
class CycleEvidence:
    cycle: int
    snapshot: SnapshotEvidence
    disk: Path
    life: int = 0  # that saved
    image: jumpback_image.Image | None = None
    accounting: jumpback_memory.SnapshotAccounting | None = None
    owners: Owners | None = None
    different: set[int] = field(default_factory=set)  # pfns with findings
    missing: set[int] = field(default_factory=set)
    excepted: set[int] = field(default_factory=set)

    def parse_image(self, saved_by: Life, wanted: str) -> list[Check]:
        """Reads the image from the disk: well formed, or a failed check that names the place.

        ``wanted``: the compression that was asked for, or "default".
        """
        self.life = saved_by.record.index
        began = time.monotonic()
        check = Check("image is well formed", "image", True, cycle=self.cycle)
        try:
            with self.disk.open("rb") as disk:
                with mmap.mmap(disk.fileno(), 0, prot=mmap.PROT_READ) as mapped:
                    self.image = jumpback_image.parse(mapped)
        except jumpback_image.ImageError as error:
            check.passed = False
            check.detail = str(error)
            check.findings.append(
                Finding(
                    "image", "write-image", str(error), self.cycle, self.life, owner=error.where
                )
            )
        else:
            header = self.image.header
            check.compared = len(self.image.pfns)
            outside = check.compared - self._frames_in_ram()
            if outside:
                check.passed = False
                text = f"{outside} page frames of the image are not RAM of this machine"
                check.findings.append(Finding("image", "write-image", text, self.cycle, self.life))
            if wanted not in ("default", header["compression"]):
                check.passed = False
                text = f"compression: asked for {wanted}, found {header['compression']}"
                check.findings.append(Finding("image", "write-image", text, self.cycle, self.life))
            check.detail = (
                f"{header['image_pages']} pages, {header['compression']}, "
                f"{header['disk_pages'] * PAGE >> 20} MiB on disk, {header['layout']}"
            )
        check.seconds = time.monotonic() - began
        return [check]

    def _frames_in_ram(self) -> int:
        """How many frames of the image are RAM; the image has them in ascending order."""
        assert self.image is not None
        pfns = self.image.pfns
        return sum(
            bisect.bisect_left(pfns, (gpa + length) // PAGE) - bisect.bisect_left(pfns, gpa // PAGE)
            for gpa, _, length in self.snapshot.regions
        )


class Evidence:
    """Owns the captures of a run. ``close`` gives them back."""

    def __init__(self, context: RunContext) -> None:
        self._context = context
        self._scratch = scratch_folder(context.options.memory_mib << 20, context.folder)
        self._pool: jumpback_vm.CapturePool | None = None
        self._last: jumpback_vm.Capture | None = None
        self._last_cycle = 0
        self._symbols = context.symbols.addresses()

    def keep_last(self) -> None:
        """The last snapshot's RAM goes to the run folder, if it is not there already."""
        path = self._context.folder / f"snapshot-cycle-{self._last_cycle:02}.ram"
        if self._last is not None and not path.exists():
            self._last.detach(str(path))

    def close(self) -> None:
        self._last = None
        self._pool = None
        shutil.rmtree(self._scratch, ignore_errors=True)

    def prepare(self, life: Life) -> None:
        """Makes room for the next capture while the guest is busy with something else."""
        ram = jumpback_vm.RamFile(str(life.ram.path), _regions(life))
        self._capture_pool(life).prepare(ram)

    def capture_snapshot(self, life: Life, entry: SnapshotEntry, cycle: int) -> SnapshotEvidence:
        """The machine must stand still."""
        regions = _regions(life)
        ram = jumpback_vm.RamFile(str(life.ram.path), regions)
        self._last = None  # its slot may be the one that is needed
        capture = self._capture_pool(life).capture(ram)
        self._last, self._last_cycle = capture, cycle
        properties = self._context.result.properties
        properties["snapshot_capture_mib"] = str(capture.stats.bytes_copied >> 20)
        properties["snapshot_capture_ms"] = f"{capture.stats.seconds * 1000:.1f}"
        return SnapshotEvidence(capture, regions, entry)

    def _capture_pool(self, life: Life) -> jumpback_vm.CapturePool:
        if self._pool is None:
            self._pool = jumpback_vm.CapturePool(str(self._scratch), life.ram.size, 2)
        return self._pool

    def verify(self, evidence: CycleEvidence) -> list[Check]:
        """The image against RAM at the snapshot, and against what had to be saved.

        Runs beside the next life: it touches nothing that this life uses.
        """
        snapshot = evidence.snapshot
        image = evidence.image
        assert image is not None
        ram = jumpback_memory.GuestRam(snapshot.capture.view(), snapshot.regions)
        registers = snapshot.entry.registers
        checks = [self._belongs(evidence)]
        try:
            guest = jumpback_memory.GuestKernel(
                ram,
                self._symbols,
                self._context.symbols.arch,
                cr3=registers.control["cr3"],
                cr0=registers.control["cr0"],
                cr4=registers.control["cr4"],
                efer=registers.control["efer"],
            )
        except jumpback_memory.MemoryModelError as error:
            checks.append(self._no_sense(evidence, error))
        else:
            evidence.owners = Owners(self._context.symbols, guest)
            ranges = snapshot_rules(self._context.symbols, registers.sp, _translator(guest))
            checks.append(self._content(evidence, ram, ranges))
            checks.append(self._coverage(evidence, guest, ranges))
        return checks

    def _belongs(self, evidence: CycleEvidence) -> Check:
        """The image is of this kernel, at this moment: its jump address and page tables."""
        assert evidence.image is not None
        header = evidence.image.header
        registers = evidence.snapshot.entry.registers
        compared = {
            "jump address": (
                self._context.symbols.restored_entry(),
                header["jump_address"],
            ),
            # The header has CR3 without its PCID (arch/x86/power/hibernate.c).
            "CR3": (registers.control["cr3"] & ~0xFFF, header["cr3"] & ~0xFFF),
        }
        check = Check("image is of this kernel", "image", True, cycle=evidence.cycle)
        check.compared = len(compared)
        for name, (want, got) in compared.items():
            if want != got:
                check.findings.append(
                    Finding(
                        "image",
                        "write-image",
                        f"{name} in the header: expected {want:#x}, found {got:#x}",
                        evidence.cycle,
                        evidence.life,
                        owner="swsusp_info",
                    )
                )
        check.passed = not check.findings
        return check

    def _content(
        self,
        evidence: CycleEvidence,
        ram: jumpback_memory.GuestRam,
        ranges: list[ExceptedRange],
    ) -> Check:
        """(1) Every page of the image equals RAM at the snapshot, but for the rules."""
        image = evidence.image
        assert image is not None
        rules = rules_in(ranges)
        began = time.monotonic()
        found = jumpback_memory.compare_image(
            image.stored_pfns,
            image.data,
            ram,
            exceptions=[(r.gpa, r.length, rules.index(r.rule)) for r in ranges],
            limit=DRAWN,
        )
        check = Check("image equals RAM at the snapshot", "image-content", True, evidence.cycle)
        check.seconds = time.monotonic() - began
        check.compared = found.compared
        check.rules = [
            RuleUse(rule.name, rule.reason, found.rule_pages.get(number, 0))
            for number, rule in enumerate(rules)
        ]
        check.passed = found.different == 0
        # RAM is what should have been written; the image is what was found.
        self._add(check, evidence, found, "write-image", "in the image", swap=True)
        where = "marked as zero in the image"
        self._zeroes(check, evidence, ram, "write-image", where, swap=True)
        for pfn in {r.gpa // PAGE for r in ranges}:
            page = image.page(pfn)
            if page is not None and bytes(page) != ram.page(pfn):
                evidence.excepted.add(pfn)
        return check

    def _zeroes(
        self,
        check: Check,
        evidence: CycleEvidence,
        ram: jumpback_memory.GuestRam,
        stage: str,
        where: str,
        *,
        swap: bool = False,
        life: Life | None = None,
    ) -> None:
        """Pages that the image holds as a mark only are all zero in ``ram``."""
        image = evidence.image
        assert image is not None
        zero_pfns = image.zero_pfns
        if len(zero_pfns) == 0:
            return
        found = jumpback_memory.compare_image(
            zero_pfns, b"", ram, zero_flags=bytes([1]) * len(zero_pfns), limit=DRAWN
        )
        check.compared += found.compared
        check.passed = check.passed and found.different == 0
        self._add(check, evidence, found, stage, where, swap=swap, life=life)

    def _coverage(
        self,
        evidence: CycleEvidence,
        guest: jumpback_memory.GuestKernel,
        ranges: list[ExceptedRange],
    ) -> Check:
        """(3) What had to be saved is in the image, and nothing else is."""
        image = evidence.image
        assert image is not None
        began = time.monotonic()
        check = Check(COVERAGE, "coverage", True, evidence.cycle)
        try:
            accounting = guest.account_snapshot(
                exceptions=[(r.gpa, r.length, 0) for r in ranges], limit=LISTED
            )
        except jumpback_memory.MemoryModelError as error:
            return self._no_sense(evidence, error)
        evidence.accounting = accounting
        coverage = jumpback_memory.check_coverage(accounting.expected, image.pfns)
        check.compared = len(accounting.expected)
        check.detail = ", ".join(
            f"{accounting.counts[code]} {name}"
            for code, name in ((9, "to save"), (4, "zero"), (1, "free"), (2, "nosave"), (3, "own"))
        )
        check.detail += f"; {len(coverage.missing)} missing, {len(coverage.surplus)} surplus"
        evidence.missing.update(coverage.missing)
        for words, pfns in (
            ("had to be saved and is not in the image", coverage.missing),
            ("is in the image and must not be", coverage.surplus),
        ):
            for pfn in list(pfns)[:LISTED]:
                check.findings.append(
                    self._finding("coverage", "snapshot", f"page {words}", evidence, pfn)
                )
        for odd, text in list(accounting.oddities)[:LISTED]:
            check.findings.append(
                self._finding("coverage", "snapshot", text, evidence, odd or None)
            )
        check.passed = not check.findings
        check.seconds = time.monotonic() - began
        return check

    def _no_sense(self, evidence: CycleEvidence, error: Exception) -> Check:
        """The captured kernel's own structures cannot be followed: nothing is proved by them."""
        text = f"the kernel's structures make no sense: {error}"
        finding = Finding("coverage", "snapshot", text, evidence.cycle, evidence.life)
        return Check(COVERAGE, "coverage", False, evidence.cycle, detail=text, findings=[finding])

    def compare_restored(self, evidence: CycleEvidence, life: Life) -> Check:
        """(2) At the first instruction of the restored kernel: every page of the image stands in
        RAM at its own frame, exactly. The machine must stand still."""
        image = evidence.image
        assert image is not None
        began = time.monotonic()
        ram_file = jumpback_vm.RamFile(str(life.ram.path), _regions(life))
        ram = jumpback_memory.GuestRam(ram_file.view(), _regions(life))
        stored = jumpback_memory.compare_image(image.stored_pfns, image.data, ram, limit=DRAWN)
        check = Check("restored RAM equals the image", "restored-memory", True, evidence.cycle)
        check.compared = stored.compared
        check.passed = stored.different == 0
        self._add(check, evidence, stored, "restore", "in restored RAM", life=life)
        self._zeroes(check, evidence, ram, "restore", "in restored RAM", life=life)
        check.seconds = time.monotonic() - began
        if not check.passed:
            ram_file.capture(str(self._context.folder / f"restored-cycle-{evidence.cycle:02}.ram"))
        return check

    def draw(self, evidence: CycleEvidence) -> FrameMap | None:
        """The picture of all frames after this cycle; None if the accounting failed."""
        if evidence.accounting is None or evidence.owners is None:
            return None
        return frame_map(
            evidence.cycle,
            evidence.accounting.states,
            evidence.owners,
            different=evidence.different,
            missing=evidence.missing,
            excepted=evidence.excepted,
        )

    def _add(
        self,
        check: Check,
        evidence: CycleEvidence,
        found: jumpback_memory.Comparison,
        stage: str,
        where: str,
        *,
        swap: bool = False,
        life: Life | None = None,
    ) -> None:
        """``swap``: the comparison's "expected" was the image, and RAM is what should stand."""
        evidence.different.update(page.pfn for page in found.differences)
        if found.different > LISTED:
            check.detail = f"{found.different} pages differ; the first {LISTED} are listed"
        for page in found.differences[:LISTED]:
            expected, got = page.expected, page.found
            if swap:
                expected, got = got, expected
            finding = self._finding(
                check.oracle, stage, f"page differs {where}", evidence, page.pfn
            )
            check.findings.append(
                Finding(
                    oracle=finding.oracle,
                    stage=stage,
                    message=finding.message,
                    cycle=evidence.cycle,
                    life=life.record.index if life is not None else evidence.life,
                    gpa=page.gpa,
                    pfn=page.pfn,
                    owner=evidence.owners.describe(page.pfn, page.gpa) if evidence.owners else None,
                    expected=expected,
                    found=got,
                    differing_bytes=page.differing,
                )
            )

    def _finding(
        self, oracle: str, stage: str, message: str, evidence: CycleEvidence, pfn: int | None
    ) -> Finding:
        owner = None
        if pfn is not None and evidence.owners is not None:
            owner = evidence.owners.describe(pfn, pfn * PAGE)
        return Finding(
            oracle,
            stage,
            message,
            evidence.cycle,
            evidence.life,
            gpa=None if pfn is None else pfn * PAGE,
            pfn=pfn,
            owner=owner,
        )


def _regions(life: Life) -> list[Region]:
    return [(part.gpa, part.offset, part.size) for part in life.ram.ranges]


def _translator(guest: jumpback_memory.GuestKernel):  # type: ignore[no-untyped-def]
    def translate(gva: int) -> int | None:
        try:
            return guest.translate(gva)[0]
        except jumpback_memory.MemoryModelError:
            return None

    return translate
