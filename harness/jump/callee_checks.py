# SPDX-License-Identifier: GPL-2.0-or-later
"""What must hold in the kernel that runs after a jump: its way back, its memory map, its timer, and
what it sees of the kernel that was left.
"""

from __future__ import annotations

import re

import jumpback_relocation as relocation

from harness.errors import GuestBroken
from harness.kexec.calls import PAGE
from harness.jump.loader import read_core
from harness.jump.travel import Travel

_PAGES = 4  # of A that B reads back: each costs 50 ms on the agent's line
_SLEEP = 20000  # us; two ticks at least, whatever CONFIG_HZ is
_RAM = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) : System RAM$", re.M)
_ENTRY = re.compile(r"\bkexec_jump_back_entry=(?:0x)?([0-9a-f]+)\b")


class CalleeChecks:
    def __init__(self, travel: Travel) -> None:
        self._travel = travel

    def identity(self) -> None:
        """It is B that runs, by the nonce on its command line."""
        travel = self._travel
        with travel.link.asking() as agent:
            found = agent.hello().life
        wanted = travel.running.nonce
        problems = [] if found == wanted else [f"expected B's nonce {wanted}, found {found!r}"]
        travel.fail_or_pass("B is the kernel that runs", "nonce", "callee", problems)

    def told(self) -> None:
        """What B was told of where it may live and where A waits: one command, for each process
        is dear under emulation."""
        travel = self._travel
        with travel.link.asking() as agent:
            text = agent.run("exec cat /proc/cmdline /proc/iomem").text
        self._offered_entry(text)
        self._memory_map(text)

    def _offered_entry(self, text: str) -> None:
        """B's command line names the place where A waits: what P2 will be."""
        travel = self._travel
        departure = travel.a.departure
        assert departure is not None
        found = _ENTRY.search(text)
        wanted = departure.return_point
        problems = []
        if found is None:
            problems.append(f"B's command line has no kexec_jump_back_entry=; wanted {wanted:#x}")
        elif int(found.group(1), 16) != wanted:
            problems.append(f"kexec_jump_back_entry={found.group(1)}, A waits at {wanted:#x}")
        travel.fail_or_pass("B is offered the way back", "callee", "callee-entry", problems)

    def _memory_map(self, text: str) -> None:
        """B uses the window and nothing else."""
        travel = self._travel
        window = travel.options.window
        problems = []
        ranges = [(int(a, 16), int(b, 16)) for a, b in _RAM.findall(text)]
        for first, last in ranges:
            low = last < 0xA0000
            if not low and (first < window.first or last > window.last):
                problems.append(
                    f"B takes {first:#x}-{last:#x} for its RAM; the window is "
                    f"{window.first:#x}-{window.last:#x}"
                )
        if not ranges:
            problems.append("B's /proc/iomem shows no RAM")
        travel.fail_or_pass("B keeps to its window", "callee", "callee", problems)

    def reads_memory(self) -> None:
        """Pages of A that B reads from /proc/vmcore are those of A at its last instruction."""
        travel = self._travel
        departure = travel.a.departure
        assert departure is not None and travel.a.planted is not None
        pfns = self._readable()
        nonce = travel.a.planted.nonce.pa
        pfns = travel.context.random.sample(pfns, min(_PAGES, len(pfns)))
        if nonce is not None and not self._in_window(nonce // PAGE):
            pfns.append(nonce // PAGE)
        problems = [] if pfns else ["no page of A was found that could be asked for"]
        pages: dict[int, bytes] = {}
        with travel.link.asking() as agent:
            try:
                pages = read_core(agent, pfns)
            except GuestBroken as error:
                problems.append(str(error))
                pfns = []
        for pfn in pfns:
            wanted = departure.memory.read(pfn * PAGE, PAGE)
            found = pages.get(pfn, b"")
            if found == wanted:
                continue
            at = next((i for i, (a, b) in enumerate(zip(wanted, found)) if a != b), len(found))
            problems.append(
                f"/proc/vmcore in B, pfn {pfn:#x}, byte {at:#x}: expected "
                f"{wanted[at:at + 8].hex()} as A had it, "
                f"found {found[at:at + 8].hex() or 'nothing'}"
            )
        travel.fail_or_pass("B reads A's memory", "vmcore", "callee", problems)

    def _readable(self) -> list[int]:
        """Frames of A's RAM outside the window, not all zero, which neither kernel writes to."""
        travel = self._travel
        departure = travel.a.departure
        assert departure is not None
        empty = bytes(PAGE)
        kept = [gpa // PAGE for gpa, _ in departure.image.kept]
        kept += [page // PAGE for page in departure.table_pages]
        moved = departure.destinations | departure.moves.sources | relocation.Frames(sorted(kept))
        random = travel.context.random
        found: list[int] = []
        for _ in range(4000):
            pfn = random.randrange(0x100, departure.memory.end_pfn)
            if self._in_window(pfn) or pfn in moved or pfn not in departure.memory:
                continue
            if departure.memory.read(pfn * PAGE, PAGE) != empty:
                found.append(pfn)
            if len(found) == 4 * _PAGES:
                break
        return found

    def _in_window(self, pfn: int) -> bool:
        window = self._travel.options.window
        return pfn < 0x100 or window.first <= pfn * PAGE <= window.last

    def timer(self) -> None:
        """The tick of the boot CPU, seen from outside by its kernel's jiffies while a process
        sleeps there: an idle CPU has no tick (CONFIG_NO_HZ_IDLE)."""
        travel = self._travel
        with travel.life.paused():
            side = travel.running.side = travel.running.side or travel.look(travel.running)
            before = side.view.variable("jiffies")
        problems = []
        with travel.link.asking() as agent:
            done = agent.run(f"exec taskset 1 usleep {_SLEEP}")
        if not done.good:
            problems.append(f"a process that slept {_SLEEP} us ended with {done.exit}")
        with travel.life.paused():
            after = side.view.variable("jiffies")
        if after == before:
            problems.append("jiffies stands still: no timer interrupt arrives")
        name = f"{travel.running.role}'s timer ticks"
        travel.fail_or_pass(name, "jump-interrupts", "callee", problems)
