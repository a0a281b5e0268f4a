# SPDX-License-Identifier: GPL-2.0-or-later
"""Of one call: the payload ran, saw what the machine had, did its work; and it is still the image's
once A runs again. Read out of RAM and the CPU at P2, the return point, and after the return.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from harness.jump.call_result import (
    BIOS_ENTRY,
    BIOS_ENTRIES,
    CMOS_BYTE,
    DONE,
    MAGIC,
    Record,
    entry_of_call,
    read_head,
    read_map,
    read_record,
    worked_page,
)
from harness.jump.call_site import CallSite
from harness.jump.side import CALLEE, RETURN
from harness.kexec.calls import PAGE
from harness.machine import ConsoleLine
from harness.results import Check, Finding

ORACLE = "payload"

# fixtures/kexec/payload/ruin.S
_RUINED = {8: 0xA5A55A5AA5A55A5A, 4: 0xA5A55A5A}
_RUINED_BASE = {8: 0x5A5A5A5A5000, 4: 0x5A5A5000}
_RUINED_FLAGS, _RUINED_CR0, _RUINED_CR4 = 0x2478D5, 0x4000C, 0x20C
_RUINED_SSE, _RUINED_FPU = 0xFF80, 0xF7F
_SPARED = ("rsp",)

_E820 = re.compile(r"BIOS-e820: \[mem 0x([0-9a-f]+)-0x([0-9a-f]+)\]\s+(.*)")
_RAM_NAMES = ("usable", "System RAM")  # until 6.x, and 7.x
_BIOS_TICKS = 0x46C  # of the BIOS's data area: 18.2 a second, counted while the BIOS had the timer
_KIB, _MIB = 1 << 10, 1 << 20
_EXTENDED_LIMIT = 63 * _MIB  # INT 15h, AH = 88h tells no more

Item = tuple[str, int, int]  # name, expected, found


class CallChecks:
    def __init__(self, site: CallSite) -> None:
        self._site = site
        self._name = f"{site.payload.kind.name}, call {site.call}"
        self._left: dict[int, bytes] = {}  # by destination, as the payload left them

    def at_return_point(self) -> list[Check]:
        """P2: the payload's pages stand at their destinations."""
        site = self._site
        page = site.read(site.symbol("result"), PAGE)
        record = read_record(page, site.call)
        checks = [
            self._check("the payload did its work", self._worked(page, record)),
            self._check("the payload saw what the machine had", self._saw(record)),
        ]
        if site.payload.kind.name == "ruin":
            checks.append(self._check("the payload ruined what it may", self._ruined()))
        if site.payload.kind.name == "bios":
            checks.append(self._check("the BIOS told of this machine", self._bios(record)))
        for gpa in site.payload.pages:
            self._left[gpa] = site.read(gpa, PAGE)
        return checks

    def after_return(self, start: int) -> list[Check]:
        """A runs, and stands still. ``start``: image->start."""
        site = self._site
        following = [("the entry of the next call", site.next_entry, start)]
        checks = [
            self._check("the payload says where the next call enters", following, RETURN),
            self._kept(),
        ]
        return checks

    def _worked(self, page: bytes, record: Record) -> Iterable[Item]:
        site = self._site
        head, nonce = read_head(page), site.orders.nonce
        yield "magic of the result page", MAGIC, head.magic
        yield "calls so far", site.call, head.calls
        yield "nonce", nonce, head.nonce
        yield "entry taken", entry_of_call(site.payload.kind.name, site.call), record.entry
        want = worked_page(site.seed, nonce, site.call)
        got = site.read(site.symbol("worked"), PAGE)
        at = next((i for i in range(0, PAGE, 4) if want[i : i + 4] != got[i : i + 4]), 0)
        words = [int.from_bytes(data[at : at + 4], "little") for data in (want, got)]
        yield f"word {at // 4} of the page it computes", words[0], words[1]
        total = int.from_bytes(want[-4:], "little")
        yield "sum", total, record.sum
        yield "byte of CMOS, read by the payload", total & 0xFF, record.cmos
        yield "byte of CMOS, read by the host", total & 0xFF, self._cmos()
        yield "word that says it is done", DONE, record.done

    def _cmos(self) -> int:
        self._site.monitor(f"o /b 0x70 {CMOS_BYTE:#x}")
        found = re.search(r"= 0x([0-9a-f]+)", self._site.monitor("i /b 0x71"))
        return int(found.group(1), 16) if found else -1

    def _saw(self, record: Record) -> Iterable[Item]:
        """Its own account of the CPU at its entry against what the host saw there, at P1."""
        site = self._site
        entered = site.entered
        assert entered is not None
        mask = (1 << 8 * site.word) - 1
        for name in ("cr0", "cr2", "cr3", "cr4", "efer"):
            yield name, entered.control[name] & mask, getattr(record, name)
        yield "GDTR's base", entered.gdtr.base, record.gdt_base
        yield "GDTR's limit", entered.gdtr.limit, record.gdt_limit
        yield "IDTR's base", entered.idtr.base, record.idt_base
        yield "IDTR's limit", entered.idtr.limit, record.idt_limit
        yield "flags", entered.eflags, record.flags
        yield "stack pointer", entered.sp & mask, record.sp
        yield "word on the stack", site.stack[0], record.top
        yield "word above it", site.stack[1], record.above
        yield "edx" if site.word == 4 else "rdx", entered.general["rdx"] & mask, record.dx
        for name, selector in record.segments.items():
            yield name, entered.selectors[name], selector

    def _ruined(self) -> Iterable[Item]:
        site = self._site
        assert site.departure is not None and site.departure.callee is not None
        now, word = site.departure.callee, site.word
        count = 16 if word == 8 else 8
        for name, value in list(now.general.items())[:count]:
            if name not in _SPARED:
                yield name, _RUINED[word], value & (1 << 8 * word) - 1
        yield "GDTR's base", _RUINED_BASE[word], now.gdtr.base
        yield "IDTR's base", _RUINED_BASE[word], now.idtr.base
        for name, want in (("ds", 0x20), ("es", 0x20), ("fs", 0), ("gs", 0)):
            yield name, want, now.selectors[name]
        yield "task register", 0x28, now.tr.selector
        yield "LDT", 0, now.ldtr.selector
        if word == 8:
            yield "FS base", _RUINED_BASE[8], now.fs_base
            yield "GS base", _RUINED_BASE[8], now.gs_base
            yield "kernel GS base", _RUINED_BASE[8], now.k_gs_base
        yield "flags", _RUINED_FLAGS, now.eflags & _RUINED_FLAGS
        yield "cr0", _RUINED_CR0, now.control["cr0"] & _RUINED_CR0
        yield "cr4", _RUINED_CR4, now.control["cr4"] & _RUINED_CR4
        yield "mxcsr", _RUINED_SSE, now.all["mxcsr"]
        yield "FPU control word", _RUINED_FPU, now.all["fctrl"]

    def _bios(self, record: Record) -> Iterable[Item]:
        """Against the map that the kernel got at boot from the same BIOS, and the machine."""
        site = self._site
        count = site.number(site.symbol("entries"), 4)
        table = site.read(site.symbol("map"), BIOS_ENTRIES * BIOS_ENTRY.size)
        told = [(first, last, kind == 1) for first, last, kind in read_map(table, count)]
        booted = boot_map(site.life.events())
        yield "entries of the memory map", len(booted), count
        yield "entries, as the payload counted them", count, record.map_entries
        for number, (want, got) in enumerate(zip(booted, told)):
            for what, index in (("first byte", 0), ("last byte", 1), ("being RAM", 2)):
                yield f"{what} of entry {number}", want[index], got[index]
        ram = [(first, last) for first, last, is_ram in booted if is_ram]
        low = next((last + 1 for first, last in ram if first == 0), 0)
        high = next((last + 1 for first, last in ram if first == _MIB), 0)
        end = max(gpa for gpa in site.payload.pages if gpa < _MIB) + PAGE
        yield "its part below 1 MiB lies in RAM", 1, int(end <= low)
        size = site.life.ram.ranges[0].size
        yield "RAM above 1 MiB ends in the machine's last MiB", 1, int(size - _MIB < high <= size)
        yield "KiB of base memory", low // _KIB, record.base_memory
        extended = min(high - _MIB, _EXTENDED_LIMIT) // _KIB
        yield "KiB of extended memory", extended, record.extended_memory
        yield "the BIOS's count of ticks", site.number(_BIOS_TICKS, 4), record.ticks

    def _kept(self) -> Check:
        """The payload's pages live on in the image's source pages, byte for byte."""
        site = self._site
        assert site.departure is not None
        sources = dict(site.departure.pairs)
        name = "the image keeps what the payload left"
        check = Check(name, ORACLE, True, cycle=site.number_in_run)
        check.compared = len(self._left)
        for gpa, want in self._left.items():
            source = sources.get(gpa)
            got = b"" if source is None else site.read(source, PAGE)
            if got == want:
                continue
            at = next((i for i, byte in enumerate(got) if byte != want[i]), 0)
            check.findings.append(
                Finding(
                    ORACLE,
                    RETURN,
                    f"{self._name}: the page that it left at {gpa:#x} is another one in the image",
                    cycle=site.number_in_run,
                    life=site.life.record.index,
                    gpa=None if source is None else source + at,
                    pfn=None if source is None else source // PAGE,
                    owner=f"image's source page for {gpa:#x}",
                    expected=want[at : at + 16],
                    found=got[at : at + 16],
                    differing_bytes=sum(a != b for a, b in zip(want, got)),
                )
            )
        check.passed = not check.findings
        check.detail = check.findings[0].message if check.findings else self._name
        return check

    def _check(self, name: str, items: Iterable[Item], stage: str = CALLEE) -> Check:
        site = self._site
        cycle, life = site.number_in_run, site.life.record.index
        check = Check(name, ORACLE, True, cycle=cycle)
        for what, want, got in items:
            check.compared += 1
            if want != got:
                text = f"{self._name}: {what}: expected {want:#x}, found {got:#x}"
                check.findings.append(Finding(ORACLE, stage, text, cycle, life, owner=what))
        check.passed = not check.findings
        check.detail = check.findings[0].message if check.findings else self._name
        return check


def boot_map(events: Iterable[object]) -> list[tuple[int, int, bool]]:
    """The memory map that the kernel printed when it booted: first byte, last byte, whether RAM."""
    found = []
    for event in events:
        line = _E820.search(event.text) if isinstance(event, ConsoleLine) else None
        if line:
            found.append((int(line[1], 16), int(line[2], 16), line[3].strip() in _RAM_NAMES))
    return found
