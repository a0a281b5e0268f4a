# SPDX-License-Identifier: GPL-2.0-or-later
"""Symbols of the kernel under test, with errors that say what to do."""

from __future__ import annotations

from pathlib import Path

import jumpback_vm

from harness.errors import BuildError


class Symbols:
    """Addresses are link addresses: kernels under test are booted with nokaslr."""

    def __init__(self, vmlinux: Path) -> None:
        try:
            self._elf = jumpback_vm.Vmlinux(str(vmlinux))
        except jumpback_vm.VmError as error:
            raise BuildError(f"{vmlinux}: {error}") from error
        self.path = vmlinux
        self.arch: str = self._elf.arch
        self._init_begin, self._init_end = (
            min((address for address, _ in self.all(name)), default=0)
            for name in ("__init_begin", "__init_end")
        )

    def all(self, name: str) -> list[tuple[int, int]]:
        """(address, size) of every symbol of that name; empty if there is none."""
        return list(self._elf.symbols(name))

    def address(self, name: str) -> int:
        """Raises BuildError if the kernel has no such symbol, or several."""
        found = self.all(name)
        if len({address for address, _ in found}) == 1:
            return found[0][0]
        problem = "has no symbol" if not found else "has several symbols"
        raise BuildError(
            f"{self.path} {problem} {name!r}: the rig stops the kernel there; "
            "is CONFIG_HIBERNATION=y set, and was vmlinux not stripped?"
        )

    def restored_entry(self) -> int:
        """restore_registers: the restored kernel's first instruction, on both architectures.

        i386 has a static one, too (arch/x86/kernel/acpi/wakeup_32.S); hibernation's stands at the
        start of a page (arch/x86/power/hibernate_asm_{32,64}.S).
        """
        name = "restore_registers"
        aligned = [address for address, _ in self.all(name) if address % 4096 == 0]
        return aligned[0] if len(aligned) == 1 else self.address(name)

    def find(self, address: int) -> tuple[str, int] | None:
        """The symbol that holds ``address``, and the offset into it."""
        found = self._elf.find(address)
        return None if found is None else (found[0], found[1])

    def find_physical(self, gpa: int) -> tuple[str, int] | None:
        """The same for a physical address inside the kernel image.

        None in what free_initmem() gives back after the boot: others live there then, and only the
        kernel's page structures know whom.
        """
        virtual = self._elf.to_virt(gpa)
        if virtual is None or self._init_begin <= virtual < self._init_end:
            return None
        found = self._elf.find_phys(gpa)
        return None if found is None else (found[0], found[1])

    def addresses(self) -> dict[str, int]:
        """All names with their addresses; of a name with several, the first."""
        table: dict[str, int] = {}
        for address, _, name in self._elf.sorted_symbols():
            table.setdefault(name, address)
        return table

    def text(self, address: int) -> str:
        found = self.find(address)
        return f"{address:#x}" if found is None else f"{found[0]}+{found[1]:#x}"

    def holds(self, name: str, address: int) -> bool:
        """Whether ``address`` lies inside the function or object ``name``."""
        found = self.find(address)
        return found is not None and found[0] == name
