# SPDX-License-Identifier: GPL-2.0-or-later
"""relocate_kernel's code and data in the control page, by the symbols of vmlinux.

Up to 6.13, and on i386, machine_kexec() copies 2048 bytes from relocate_kernel on; from 6.14 on the
control page has all between __relocate_kernel_start and __relocate_kernel_end.
"""

from __future__ import annotations

from harness.errors import BuildError
from harness.symbols import Symbols

CODE_MAX = 2048  # KEXEC_CONTROL_CODE_MAX_SIZE, arch/x86/include/asm/kexec.h
# .data..relocate_kernel: what the code saves for the way back.
_SAVED = ("saved_rsp", "saved_cr0", "saved_cr3", "saved_cr4", "pa_backup_pages_map")
_IDT_LIMIT = 0xFF  # 16 gates, prepare_debug_idt()


class RelocateCode:
    def __init__(self, symbols: Symbols, in_sections: bool) -> None:
        """``in_sections``: as from 6.14 on."""
        self._symbols = symbols
        self.in_sections = in_sections
        if in_sections:
            self.begin = symbols.address("__relocate_kernel_start")
            self.size = symbols.address("__relocate_kernel_end") - self.begin
        else:
            self.begin = symbols.address("relocate_kernel")
            self.size = CODE_MAX

    def find(self, name: str) -> int | None:
        """Offset in the control page of a label or a datum. Others may have its name elsewhere."""
        for address, _ in self._symbols.all(name):
            if self.begin <= address < self.begin + self.size:
                return address - self.begin
        return None

    def offset(self, name: str) -> int:
        found = self.find(name)
        if found is None:
            raise BuildError(f"{self._symbols.path} has no {name} in relocate_kernel's code")
        return found

    def saved_words(self) -> list[tuple[int, int]]:
        """(offset, length): seven words of x86_64 at +0x800, eight of i386, or by name."""
        if not self.in_sections:
            return [(CODE_MAX, 7 * 8 if self._symbols.arch == "x86_64" else 8 * 4)]
        found = (self.find(name) for name in _SAVED)
        return [(offset, 8) for offset in found if offset is not None]

    def debug_tables(self, control: bytes) -> tuple[tuple[int, int], tuple[int, int]] | None:
        """Offset and limit of the GDT and the IDT that a callee finds, from 6.16 on. ``control``:
        what stands in the control page: the GDT's first word is its limit."""
        gdt, idt = self.find("kexec_debug_gdt"), self.find("kexec_debug_idt")
        if gdt is None or idt is None:
            return None
        return (gdt, int.from_bytes(control[gdt : gdt + 2], "little")), (idt, _IDT_LIMIT)
