# SPDX-License-Identifier: GPL-2.0-or-later
"""The running guest seen from outside: its RAM as it is now, by virtual address and by symbol.

Only while the machine stands still is what is read of one moment.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import jumpback_memory
import jumpback_vm

from harness.kexec.page_structs import PageStructs
from harness.machine import Life
from harness.symbols import Symbols

WORD = {"x86_64": 8, "i386": 4}  # bytes of an unsigned long
_LA57 = 1 << 12  # CR4: page tables of five levels


class GuestView:
    """Made while ``life`` stands still, good for all of that life."""

    def __init__(self, life: Life, symbols: Symbols) -> None:
        self._life = life
        self.symbols = symbols
        self.arch = symbols.arch
        self.word = WORD[symbols.arch]
        self.regions = [(part.gpa, part.offset, part.size) for part in life.ram.ranges]
        file = jumpback_vm.RamFile(str(life.ram.path), self.regions)
        self.buffer = file.view()
        self.ram = jumpback_memory.GuestRam(self.buffer, self.regions)
        registers = life.registers(0).control
        self.five_level = self.arch == "x86_64" and bool(registers["cr4"] & _LA57)
        self._addresses = symbols.addresses()
        # The page tables of whoever runs now may be gone at the next look: init_mm's stay.
        now = self._open(registers, registers["cr3"])
        top = self._addresses["init_top_pgt" if self.arch == "x86_64" else "swapper_pg_dir"]
        self.kernel = self._open(registers, now.translate(top)[0])
        self.pages = PageStructs(self.kernel, self.word, self._addresses)

    def _open(self, control: dict[str, int], cr3: int) -> jumpback_memory.GuestKernel:
        return jumpback_memory.GuestKernel(
            self.ram,
            self._addresses,
            self.arch,
            cr3=cr3,
            cr0=control["cr0"],
            cr4=control["cr4"],
            efer=control["efer"],
        )

    @property
    def ram_bytes(self) -> int:
        """Of RAM from address 0 on, up to the hole below 4 GiB."""
        return self.regions[0][2]

    def number(self, address: int, size: int = 0) -> int:
        """``size`` bytes at a virtual address; 0: an unsigned long."""
        return int.from_bytes(self.kernel.read_virtual(address, size or self.word), "little")

    def variable(self, symbol: str, size: int = 0) -> int:
        return self.number(self._addresses[symbol], size)

    def words(self, address: int, count: int) -> list[int]:
        data = self.kernel.read_virtual(address, count * self.word)
        return list(self._split(data))

    def page_words(self, gpa: int) -> list[int]:
        """The words of the page frame at ``gpa``."""
        return list(self._split(self.ram.page(gpa >> 12)))

    def _split(self, data: bytes) -> Iterator[int]:
        for start in range(0, len(data), self.word):
            yield int.from_bytes(data[start : start + self.word], "little")

    def write_word(self, gpa: int, value: int) -> None:
        """For faults."""
        self._life.ram.write(gpa, value.to_bytes(self.word, "little"))

    def write_variable(self, symbol: str, value: int, size: int = 4) -> None:
        """For conditions that the guest cannot make by itself, and for faults."""
        gpa = self.kernel.translate(self._addresses[symbol])[0]
        self._life.ram.write(gpa, value.to_bytes(size, "little"))

    def owner(self, gpa: int) -> str:
        found = self.symbols.find_physical(gpa)
        return f"{found[0]}+{found[1]:#x}" if found else self.kernel.describe(gpa >> 12)


@dataclass(frozen=True)
class Conditions:
    """What the kernel's answers depend on, read from its own variables."""

    totalram_pages: int
    crash: tuple[int, int]  # crashk_res: first and last byte; (0, 0): nothing is reserved
    five_level: bool
    page_offset: int  # i386: where the kernel's part of the address space begins
    kexec_jump: bool
    lowmem_end: int  # pfn; frames from there on are high memory


def read_conditions(view: GuestView, *, kexec_jump: bool) -> Conditions:
    info = view.kernel.vmcoreinfo
    # resource_size_t is 32 bits wide on i386 without PAE (arch/x86/Kconfig, PHYS_ADDR_T_64BIT).
    wide = view.arch == "x86_64" or info.get("CONFIG_X86_PAE") == "y"
    size = 8 if wide else 4
    crash = view.symbols.address("crashk_res")
    text = view.symbols.address("_text")
    offset = text - view.kernel.translate(text)[0]
    return Conditions(
        totalram_pages=view.variable("_totalram_pages"),
        crash=(view.number(crash, size), view.number(crash + size, size)),
        five_level=view.five_level,
        page_offset=offset,
        kexec_jump=kexec_jump,
        lowmem_end=view.variable("max_low_pfn") if view.arch == "i386" else 1 << 52,
    )
