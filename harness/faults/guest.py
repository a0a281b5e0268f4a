# SPDX-License-Identifier: GPL-2.0-or-later
"""Faults inside the guest: RAM, registers, processes."""

from __future__ import annotations

from harness.agent_state import CounterState, TmpfileState
from harness.errors import InfraError
from harness.hibernation.site import TamperSite
from harness.oracles.liveness import COUNTER, NONCE, TMPFILE
from harness.oracles.snapshot_stop import WORD

SPARE_OFFSET = 0x800  # of the byte that is flipped, in a planted page whose start is in use
PAGE = 4096


def spare_page(site: TamperSite) -> int:
    """Guest physical address of a page whose second half nobody uses but us."""
    return _physical(site.planted.nonce.pa)


def _physical(address: int | None) -> int:
    if address is None:
        raise InfraError(
            "the guest does not tell physical addresses (CONFIG_PROC_PAGE_MONITOR=y): "
            "this fault needs one"
        )
    return address & ~(PAGE - 1)


def flip_restored_byte(site: TamperSite) -> None:
    gpa = spare_page(site) + SPARE_OFFSET
    _flip(site, gpa)
    site.done.append(f"flipped RAM byte at GPA {gpa:#x}")


def flip_copied_byte(site: TamperSite) -> None:
    """In the kernel's copy of the planted page, which the image is written from."""
    gpa = spare_page(site)
    original = site.life.ram.read(gpa, PAGE)
    for part in site.life.ram.ranges:
        for offset in range(0, part.size, PAGE):
            copy = part.gpa + offset
            if copy != gpa and site.life.ram.read(copy, PAGE) == original:
                _flip(site, copy + SPARE_OFFSET)
                site.done.append(f"flipped a byte of {gpa:#x}'s copy at GPA {copy:#x}")
                return
    raise InfraError(f"the kernel has no copy of the page at {gpa:#x}: was the snapshot taken?")


def _flip(site: TamperSite, gpa: int) -> None:
    byte = site.life.ram.read(gpa, 1)[0]
    site.life.ram.write(gpa, bytes([byte ^ 0x01]))


def change_register(site: TamperSite) -> None:
    """RSI: saved and restored, yet no C code relies on it across a call."""
    value = site.life.registers(0).general["rsi"]
    site.life.write_register(0, "rsi", value ^ 0x10)
    site.done.append(f"changed rsi from {value:#x} to {value ^ 0x10:#x}")


def change_saved_ioapic(site: TamperSite) -> None:
    """The polarity of an unused pin, where save_ioapic_entries() has put it
    (struct ioapic.saved_registers, arch/x86/kernel/apic/io_apic.c)."""
    pin, polarity = 22, 1 << 13
    word = WORD[site.symbols.arch]
    field = site.symbols.address("ioapics") + word  # behind int nr_registers, aligned
    entries = int.from_bytes(site.life.read_virtual(field, word), "little")
    value = int.from_bytes(site.life.read_virtual(entries + 8 * pin, 8), "little")
    site.life.write_virtual(entries + 8 * pin, (value ^ polarity).to_bytes(8, "little"))
    site.done.append(f"changed the saved RTE of pin {pin} from {value:#x}")


def replant_nonce(site: TamperSite) -> None:
    site.guest.agent.plant(NONCE, "0" * 16)
    site.done.append("planted another nonce")


def kill_counter(site: TamperSite) -> None:
    pid = site.guest.agent.query(COUNTER, CounterState).pid
    site.guest.agent.run(f"kill -9 {pid}")
    site.done.append(f"killed the counting process {pid}")


def overwrite_tmpfile(site: TamperSite) -> None:
    path = site.guest.agent.query(TMPFILE, TmpfileState).path
    site.guest.agent.run(f"printf X | dd of={path} bs=1 seek=4321 conv=notrunc; true")
    site.done.append(f"overwrote byte 4321 of {path}")


def arm_panic(site: TamperSite) -> None:
    """Through the kernel's own SysRq; the agent's answer never comes."""
    site.done.append("echo c > /proc/sysrq-trigger")
    site.guest.agent.run("echo c > /proc/sysrq-trigger", timeout=1.0)


def spin(site: TamperSite) -> None:
    """`jmp .` where swsusp_write() would begin: interrupts stay on, nothing ever happens again."""
    site.life.write_virtual(site.symbols.address("swsusp_write"), b"\xeb\xfe")
    site.done.append("swsusp_write() now spins for ever")


def triple_fault(site: TamperSite) -> None:
    """`ud2` with an IDT of limit 0: neither the fault nor the double fault finds a handler."""
    address = site.symbols.address("swsusp_write")
    # push 0; push 0; lidt [rsp]; ud2: the same bytes in 64-bit and in 32-bit mode.
    code = b"\x6a\x00\x6a\x00\x0f\x01\x1c\x24\x0f\x0b"
    site.life.write_virtual(address, code)
    site.done.append("swsusp_write() now loads an empty IDT and faults")
